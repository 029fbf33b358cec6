"""The stoppers that come with automl, one rule a file, found through the entry points `automl.stoppers`.

The core never imports them.
"""

from automl.moved import names_of

__getattr__ = names_of(__name__)
