"""Weights of earlier models with which the trials of a study begin: read, checked, kept, and put into modules."""
