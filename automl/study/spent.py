"""What training has taken: seconds, memory, energy, and money where the price of an hour is known."""

from typing import Any

from automl.core.trial import Cost
from automl.leaderboard import words
from automl.study.reader import Readable

WH = 3600.0
"""Joules in a watt-hour."""


def total(study: Readable) -> Cost | None:
    """What all trials together have taken; None where nothing was measured."""
    found = None
    for _, cost in study.history.paid:
        found = cost.plus(found)
    return found


def document(cost: Cost | None, price: float | None) -> dict[str, Any] | None:
    """A cost for programs: `seconds`, `steps`, `peak_gib`, `joules`, `money`; null for what is not known."""
    if cost is None:
        return None
    return {
        "seconds": round(cost.seconds, 3),
        "steps": cost.steps,
        "peak_gib": None if cost.peak_gib is None else round(cost.peak_gib, 4),
        "joules": None if cost.joules is None else round(cost.joules, 1),
        "money": None if price is None else round(cost.seconds / 3600 * price, 6),
    }


def price_of(study: Readable) -> float | None:
    """What an hour of one worker costs, where the specification says so."""
    found = study.facts.get("price")
    return float(found) if isinstance(found, int | float) else None


def line(study: Readable, cost: Cost | None) -> str:
    """A cost for people: `12s of training, 0.41 s per epoch, 1.2 GiB, 3.1 Wh, 0.0083`; empty where nothing is known."""
    if cost is None:
        return ""
    parts = [f"{words.duration(cost.seconds)} of training"]
    parts += [f"{cost.seconds / cost.steps:.3g} s per {study.plan.unit}"] if cost.steps else []
    parts += [f"{cost.peak_gib:.3g} GiB"] if cost.peak_gib else []
    parts += [f"{cost.joules / WH:.3g} Wh"] if cost.joules is not None else []
    price = price_of(study)
    parts += [f"price {cost.seconds / 3600 * price:.3g}"] if price is not None else []
    return ", ".join(parts)


def of_search(study: Readable) -> str:
    """What the search has cost beside its time, where energy or the price is known; else empty."""
    cost = total(study)
    if cost is None or (cost.joules is None and price_of(study) is None):
        return ""
    return line(study, cost)
