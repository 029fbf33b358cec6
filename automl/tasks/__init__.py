"""What a trial trains: a Python function, a command, or a model with its data. Knows workers, not the driver."""
