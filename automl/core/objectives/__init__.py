"""Several objectives and limits: what they are, which trials no other one beats, and the order that follows."""
