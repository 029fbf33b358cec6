"""automl: hyperparameter search for PyTorch."""
