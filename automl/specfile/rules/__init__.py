"""Rules that need what other folders know: settings of models, options of the preparation, columns, code, devices.

No rule imports torch or runs code of the user's; a search is checked by them before its first trial, a study that goes
on is not: it was begun under the rules of its time.
"""
