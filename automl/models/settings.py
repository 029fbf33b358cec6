"""Settings of the families: which values they take. No torch, so that a specification can be checked without it."""

from collections.abc import Mapping
from typing import Any

from automl.errors import did_you_mean

ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
NORMS = ("none", "batch", "layer")
VALUES: dict[str, tuple[str, ...]] = {
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "positions": ("rotary", "learned"),
    "parametrization": ("standard", "mup"),
    "embed_numbers": ("none", "periodic", "cosine", "piecewise"),
    "columns": ("own", "all"),
    "library": ("sklearn", "lightgbm"),
}
"""Setting -> the names it takes."""
OWN_VALUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("transformer", "activation"): (*ACTIVATIONS, "swiglu"),
    ("transformer", "norm"): ("rms", "layer"),
}
"""(family, setting) -> the names it takes where they are not those of `VALUES`."""
AT_LEAST_ONE = ("depth", "width", "layers", "heads", "stages", "kernel", "stem", "patch", "block", "base_width",
                "embed_size", "frequencies", "rounds", "min_leaf", "members", "trend")  # fmt: skip
AT_LEAST_ZERO = ("max_depth", "l2", "early_stop")
SHARES = ("dropout", "drop_path")
"""From 0 to below 1."""
ODD = ("kernel", "stem")
SWITCHES = ("residual", "bidirectional", "tied", "from_last", "weighted")


def problem(family: str, defaults: Mapping[str, Any], name: str, value: Any) -> str:
    """Why the setting `name` of a family cannot have this value.

    Args:
        family: its name.
        defaults: its settings with their defaults.
        name: of the setting.
        value: given for it.

    Returns:
        A sentence without the family's name; empty where it can, or where the family has no such setting.

    Example:
        problem("mlp", families()["mlp"].defaults, "dropout", 1)  # "dropout must be in [0, 1), got 1"
    """
    if name not in defaults or name in SWITCHES:
        return ""
    if known := OWN_VALUES.get((family, name), VALUES.get(name, ())):
        if value in known:
            return ""
        return f"unknown {name} {value!r}{did_you_mean(str(value), known)}; one of {', '.join(known)}"
    kind = int if isinstance(defaults[name], int) else float
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        return f"{name} must be {'a whole number' if kind is int else 'a number'}, got {value!r}"
    if (family, name) == ("bag", "depth"):
        return "" if number >= 0 else f"{name} must be at least 0, got {value!r}"
    if (name in AT_LEAST_ONE or (family, name) in (("lstm", "embedding"), ("bag", "embedding"))) and number < 1:
        return f"{name} must be at least 1, got {value!r}"
    if name in SHARES and not 0 <= number < 1:
        return f"{name} must be in [0, 1), got {value!r}"
    if name in ("leaves", "bins") and not 2 <= number <= (255 if name == "bins" else 2**20):
        return f"{name} must be in [2, {255 if name == 'bins' else 2**20}], got {value!r}"
    if name in AT_LEAST_ZERO and number < 0:
        return f"{name} must be at least 0, got {value!r}"
    if name in ("density", "feature_share", "shrinkage") and not 0 < number <= 1:
        return f"{name} must be in (0, 1], got {value!r}"
    if name in ("ratio", "embed_scale") and not number > 0:
        return f"{name} must be above 0, got {value!r}"
    if name in ODD and number % 2 == 0:
        return f"{name} must be odd, got {value!r}"
    return ""
