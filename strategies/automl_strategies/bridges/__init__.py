"""Strategies that use another library, and our strategies inside of Optuna."""
