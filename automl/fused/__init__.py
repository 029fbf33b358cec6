"""Fused trials: many trials of one architecture train as one batched model. See `engine` for the interface."""
