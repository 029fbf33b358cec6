"""Networks whose answers are made of their outputs."""
