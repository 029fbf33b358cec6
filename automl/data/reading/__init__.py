"""From files, arrays and functions to `Raw`. Decides nothing about columns."""
