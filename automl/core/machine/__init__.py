"""What this machine has, found out without loading torch."""
