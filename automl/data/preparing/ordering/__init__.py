"""The order of a series' rows: its time column, its step and gaps, and the several series of one table."""
