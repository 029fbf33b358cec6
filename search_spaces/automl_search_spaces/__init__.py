"""Preset spaces: `architecture/mlp` (a part, taken with `use:`), `digits` (complete, ready to run)."""

from pathlib import Path


def presets() -> dict[str, Path]:
    """Name -> file of every preset in this package, sorted by name."""
    root = Path(__file__).parent
    return {file.relative_to(root).with_suffix("").as_posix(): file for file in sorted(root.rglob("*.yaml"))}
