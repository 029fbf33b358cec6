"""What a model costs before it is trained: parameters, bytes, operations, latency."""
