"""YAML with the place of every value, and mistakes told with file, line and column."""
