"""Optimizers over rows `[K, P]`, their tables of rates, and Triton kernels for them."""
