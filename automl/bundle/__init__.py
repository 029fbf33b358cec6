"""Saved models on disk: safetensors and JSON, checked by hash. Loads and predicts without the study that made them."""
