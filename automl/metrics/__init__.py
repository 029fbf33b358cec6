"""Metrics: names and directions, values for one model, for many models at once and per row, and their intervals.

Imports only `errors`; torch is imported when a value is computed.
"""

from automl.metrics.registry import COSTS, SHOWN_ONLY, bounds, compute, direction, known, names, ranking

__all__ = ["COSTS", "SHOWN_ONLY", "bounds", "compute", "direction", "known", "names", "ranking"]
