"""What comes in and goes out: the schema of a model, bodies of requests, checks of rows, answers."""
