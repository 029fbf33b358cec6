"""The public contract kit: laws of every protocol as pytest classes, a simulator, spaces and histories.

For tests of plugins; needs pytest.
"""

from automl.testing.spaces import SPACES, history_of
from automl.testing.stoppers import StopperContract
from automl.testing.strategies import StrategyContract

__all__ = ["SPACES", "StopperContract", "StrategyContract", "history_of"]
