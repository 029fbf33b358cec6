"""Commands on saved models, after a search."""
