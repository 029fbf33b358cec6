"""The passes over a table that is prepared, each in items of work that several processes share."""
