"""What a worker keeps for trials that train together as lanes: an engine for each preparation of the data."""
