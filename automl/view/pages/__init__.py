"""Pages: texts about one or several studies or about the machine, each a function that returns text or plain data."""
