"""The memory of a search: ledger, checkpoints, reports, the winner on disk. Starts no process."""
