"""`space.yaml` -> `Spec`. Reading imports neither torch nor the user's code; every complaint is a SpecError.

read("space.yaml", overrides={"budget.trials": 5})    a file, or a complete preset by name ("digits")
parse(text, "space.yaml")                             text from elsewhere
from_json(spec.to_json())                             plain data
schema()                                              JSON Schema for editors
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.errors import SpecError, did_you_mean
from automl.spec import presets
from automl.spec.build import build, slug
from automl.spec.complaint import Complaint
from automl.spec.schema import schema
from automl.spec.specification import Spec
from automl.spec.yaml_events import MAX_BYTES, load

__all__ = ["Complaint", "Spec", "from_json", "parse", "read", "schema"]


def read(path_or_preset: str | os.PathLike[str], *, overrides: Mapping[str, Any] | None = None) -> Spec:
    """The specification in a file, or the complete preset of that name (a file of the same name goes first).

    `overrides`: {dotted path: value}, e.g. `{"space.lr.high": 0.1, "strategy": "grid"}`; text is read as YAML.
    Raises SpecError: nothing of that name, or all complaints about what it says.
    """
    path = Path(path_or_preset)
    preset = None
    if not _is_file(path) and path.suffix not in (".yaml", ".yml"):
        preset = presets.whole(str(path_or_preset))
        if preset is None:
            raise SpecError(_not_found(str(path_or_preset)))
    file = preset or path
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(_not_found(str(path_or_preset))) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{path_or_preset}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    folder = Path(".") if preset else file.parent
    return build(load(content, str(file)), name=slug(file.stem), path=file, folder=folder, changes=overrides or {})


def parse(text: str | bytes, file: str = "spec", *, overrides: Mapping[str, Any] | None = None) -> Spec:
    """The specification in `text`; `file` is what complaints call it, and its stem the study's name if none is given."""
    return build(load(text, file), name=slug(Path(file).stem), path=None, folder=None, changes=overrides or {})


def from_json(data: Mapping[str, Any], *, name: str = "study", folder: Path | None = None) -> Spec:
    """A specification from plain data in the grammar of `space.yaml` (as `Spec.to_json` writes it)."""
    try:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name}: holds more than plain data: {error}") from None
    return build(load(text, name), name=slug(name), path=None, folder=folder, changes={})


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _not_found(name: str) -> str:
    known = presets.all_presets()
    wholes = [n for n in known if "/" not in n]
    if name in known:
        return f"preset {name!r} is a part of a space; complete ones: {', '.join(wholes)}"
    near = did_you_mean(name, [*wholes, *(p.name for p in Path(".").glob("*.y*ml"))])
    return f"no file {name!r}, and no preset of that name{near} (presets: {', '.join(wholes) or 'none is installed'})"
