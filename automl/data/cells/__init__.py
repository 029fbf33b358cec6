"""What one cell of a table means: decided once for a column, kept as JSON, and then a function of the cell alone."""
