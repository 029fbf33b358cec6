"""Strategies that wrap a strategy."""
