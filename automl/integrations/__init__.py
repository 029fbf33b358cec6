"""Other programs: loggers, callbacks of Lightning and Hugging Face, an export to Optuna."""
