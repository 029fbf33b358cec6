"""Kinds of tasks beyond plain classes and values: what they are, and their formulas, each written once."""
