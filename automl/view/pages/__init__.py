"""Texts about a study, a trial, a machine, and the HTML report."""
