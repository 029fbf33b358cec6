"""`automl serve`: saved models behind HTTP, with checks, keys, batching, versions and watching.

It knows bundles and data, never the search: neither a study is written nor a strategy imported.
"""
