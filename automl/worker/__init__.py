"""The loop inside a worker process, and the `Trial` that user code holds."""
