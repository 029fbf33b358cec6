"""Bayesian optimization of several objectives and under limits, with a Gaussian process for each metric."""
