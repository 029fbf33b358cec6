"""What a plugin author reads: spaces, configs, trials, the history, and the protocols of strategies and stoppers.

Also the messages between driver and workers, and small helpers that every folder above needs. Nothing here starts a
process, reads a study from disk or names a plugin. Imports only `metrics` and `errors`.
"""
