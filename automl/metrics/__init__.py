"""Metrics: names and directions, values for one model, for many models at once and per row, and how sure they are. Imports only `errors`."""
