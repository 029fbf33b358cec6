"""From files, arrays and functions to `Raw`. Nothing here decides how columns or targets are used."""
