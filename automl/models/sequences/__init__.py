"""Small model families for sequences: bags of tokens, and linear forecasts."""
