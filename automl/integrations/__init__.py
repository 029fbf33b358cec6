"""Other programs: loggers of a search, callbacks for other training loops, an export to Optuna.

Every package of theirs is imported when it is used, and is optional. Nothing below this folder knows of them.
"""
