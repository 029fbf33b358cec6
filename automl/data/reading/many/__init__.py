"""Tables in many files, in files of any size, and in stores: found, and read piece by piece."""
