"""Lanes of one shape: their storage, one step, one epoch, CUDA graphs."""
