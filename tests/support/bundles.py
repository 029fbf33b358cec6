"""Saved models changed as their author could change them: with the right hashes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from automl.bundle import files

Change = Callable[[dict[str, Any]], object]


def edit(bundle: Path, name: str, change: Change) -> None:
    """Change a JSON file of a bundle, and its hash in the manifest."""
    content = json.loads((bundle / name).read_text())
    change(content)
    (bundle / name).write_text(json.dumps(content))
    if name != files.MANIFEST:
        rehash(bundle, name)


def rehash(bundle: Path, name: str) -> None:
    """Write the present hash of a file into the manifest."""
    digest = files.sha256(bundle / name)
    edit(bundle, files.MANIFEST, lambda manifest: manifest["files"].__setitem__(name, digest))
