"""The stoppers that come with automl, one rule a file, found through the entry points `automl.stoppers`.

The core never imports them.
"""
