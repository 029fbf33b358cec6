"""The live page of a study: read from the ledger while the search runs; what its buttons ask goes to the inbox."""
