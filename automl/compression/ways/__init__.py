"""The ways to make a network smaller: units cut off, low rank, students, ONNX networks with 8-bit numbers."""
