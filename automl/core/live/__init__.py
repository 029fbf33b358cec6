"""What changes a search while it runs: requests of people and programs, and rows of earlier studies."""
