"""What `--json` prints: a type for each command's document; `automl schema COMMAND` makes its JSON Schema of it."""
