"""Kills, faults and mutations on purpose: `python -m automl.testing.stress.chaos` and its neighbours."""
