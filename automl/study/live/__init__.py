"""Changes of a study while it runs: what may be asked for, the inbox, and how the study carries it out."""
