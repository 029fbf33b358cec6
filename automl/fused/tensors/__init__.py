"""What fused code computes with: the layout of rows, random numbers without state, losses of all lanes."""
