"""The words of a search: spaces, configs, trials, history, strategies, stoppers, messages.

All that a plugin author needs to read. Imports only `metrics` and `errors`.
"""
