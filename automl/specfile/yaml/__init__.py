"""Reading YAML with the place of every value, and reporting mistakes with file, line and column."""
