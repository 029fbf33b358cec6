"""The plain trainer of one model: its step, evaluation, moving average, saved state and best epoch."""
