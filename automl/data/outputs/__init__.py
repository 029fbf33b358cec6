"""What models of a target learn and answer."""
