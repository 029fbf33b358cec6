"""Model families for tables alone: trees, and networks of many weight-sharing members."""
