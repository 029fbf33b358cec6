"""`automl.search` and `automl.resume`: from what is to be trained to a finished study.

The command line and Python programs come in here. What is below this folder never imports it.
"""

from automl.moved import names_of

__getattr__ = names_of(__name__)
