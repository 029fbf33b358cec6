"""MLPs of different shapes in one program."""
