"""Strategies whose trials go on from one another."""
