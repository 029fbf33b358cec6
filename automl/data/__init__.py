"""Data: read it, split it in three parts, prepare it by what the training part shows. Knows nothing of models.

`automl.data.shapes` imports no torch; everything else is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

from automl.data.shapes import Inputs, Outputs

if TYPE_CHECKING:
    from automl.data.loading import load
    from automl.data.prepared import Part, Prepared

__all__ = ["Inputs", "Outputs", "Part", "Prepared", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from automl.data.loading import load

        return load
    if name in ("Part", "Prepared"):
        from automl.data import prepared

        return getattr(prepared, name)
    raise AttributeError(f"module 'automl.data' has no attribute {name!r}")
