"""Preparations: fitted on the training rows, kept as JSON, and applied to any row. Nothing here reads files."""
