"""Strategies of other libraries on our history, and ours inside Optuna."""
