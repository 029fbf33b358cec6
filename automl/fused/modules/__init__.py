"""Layers that work on all lanes at once, and how they replace those of torch inside a model."""
