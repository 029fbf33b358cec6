"""`automl.search` and `automl.resume`: from what is to be trained to a finished study."""
