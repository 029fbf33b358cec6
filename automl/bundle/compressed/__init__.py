"""Compressed models: their changed layers or their ONNX network, what is checked of both, and how they are written."""
