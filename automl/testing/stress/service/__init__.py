"""Requests to a server that are wrong in many ways: mutants of right ones, and what its own description allows."""
