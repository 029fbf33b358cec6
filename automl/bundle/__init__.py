"""Saved models ("bundles"): written as safetensors and JSON, checked by hash when read, and ready to predict.

A bundle needs neither the study it came from nor the data it was trained on, so nothing in here knows of studies.
"""

from automl.moved import names_of

__getattr__ = names_of(__name__)
