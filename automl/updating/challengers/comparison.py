"""Champion against challenger: a paired test on rows that neither has learned from.

The metric's difference on the same rows is resampled by the bootstrap over rows. The challenger is not worse on these
rows if in `sure` of the draws it loses no more than is allowed (a one-sided test of non-inferiority).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from automl import metrics
from automl.metrics import intervals
from automl.metrics.rows import Sample

DRAWS = 1000


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows.

    Attributes:
        metric: its name, without `val_`.
        rows: their number.
        champion, challenger: the metric of each.
        gap: how much better the challenger is; negative where it is worse.
        low, high: the gap's interval of 95 %.
        floor: the gap that is exceeded in `sure` of the draws.
        limit: how much may be lost.
        sure: the share of draws.
    """

    metric: str
    rows: int
    champion: float
    challenger: float
    gap: float
    low: float
    high: float
    floor: float
    limit: float
    sure: float

    @property
    def passed(self) -> bool:
        """Whether the challenger is not worse by more than may be lost."""
        return self.floor >= -self.limit

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {**asdict(self), "passed": self.passed}


def compare(name: str, champion: Sample, challenger: Sample, lose: float, sure: float, seed: int = 0) -> Comparison:
    """Compare two models.

    Args:
        name: of the metric, without `val_`.
        champion, challenger: the metric of each, row by row, on the same rows.
        lose: how much may be lost: of metrics up to 1 (accuracy, R2, ...) the difference, of errors a share of them.
        sure: the share of draws in which no more than that is lost.
        seed: of the draws.
    """
    sign = -1.0 if metrics.direction(name) == "minimize" else 1.0
    gap = sign * (challenger.value - champion.value)
    made = _draws(champion, challenger, sign, seed)
    made = made[np.isfinite(made)]
    made = made if len(made) else np.array([gap])
    low, high, floor = (float(v) for v in np.quantile(made, [0.025, 0.975, 1 - sure]))
    bounded = metrics.bounds(name)[1] == 1.0
    limit = lose if bounded else lose * abs(champion.value)
    return Comparison(name, len(champion), champion.value, challenger.value, gap, low, high, floor, limit, sure)


def _draws(champion: Sample, challenger: Sample, sign: float, seed: int) -> Any:
    rng, n = np.random.default_rng(seed), len(champion)
    each = max(intervals.CHUNK // n, 1)
    parts = []
    for k in range(0, DRAWS, each):
        drawn = intervals.counts(rng, min(each, DRAWS - k), n)
        parts.append(sign * (challenger.resampled(drawn) - champion.resampled(drawn)))
    return np.concatenate(parts)
