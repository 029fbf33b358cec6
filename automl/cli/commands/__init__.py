"""The commands, one group a file: parse, call, print."""
