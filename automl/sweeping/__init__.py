"""Hydra: the search that `hydra/sweeper=automl` runs, with each trial a job of Hydra's in a folder of its own."""
