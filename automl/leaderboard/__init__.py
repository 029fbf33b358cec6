"""A history as ranked rows, and rows as text, CSV, JSON and data frames.

Used by the study and by every screen; knows neither.
"""

from automl.moved import names_of

__getattr__ = names_of(__name__)
