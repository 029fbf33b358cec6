"""Keeping a saved model up to date: new rows, several ways to learn from them, versions, and a test before each swap.

A version answers only after it was compared, row by row, with the one before it on rows that neither has learned from.
"""
