"""The version of this package. It imports nothing, so that any file may ask for it."""

__version__ = "0.1.0"
