"""`space.yaml` -> `Spec`. Reading imports neither torch nor the user's code; every mistake is a SpecError.

read("space.yaml", overrides={"budget.trials": 5})    a file, or a complete preset by name ("digits")
parse(text, "space.yaml")                             text from elsewhere
from_json(spec.to_json())                             plain data
schema()                                              JSON Schema for editors
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from automl.errors import SpecError, did_you_mean
from automl.specfile.spec import Spec
from automl.specfile.yaml.complaint import Complaint, InvalidSpec

__all__ = ["Complaint", "InvalidSpec", "Spec", "from_json", "parse", "read", "schema"]


def read(
    path_or_preset: str | os.PathLike[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    gpus: Callable[[], int] | None = None,
) -> Spec:
    """Read a specification from a file, or a complete preset by name (a file of the same name is preferred).

    Args:
        path_or_preset: the file, or the name of a preset.
        overrides: {dotted path: value}, e.g. `{"space.lr.high": 0.1, "strategy": "grid"}`; text is read as YAML.
        gpus: counts the GPUs of this machine, if it is to train: devices, code and data are checked too.

    Raises:
        SpecError: there is no such file or preset, or it has mistakes; the message lists them.

    Example:
        >>> specfile.read("digits", overrides={"budget.trials": 5}).plan.trials
        5
    """
    from automl.specfile import presets
    from automl.specfile.yaml.events import MAX_BYTES

    path = Path(path_or_preset)
    preset = None
    if not _is_file(path) and path.suffix not in (".yaml", ".yml"):
        preset = presets.complete(str(path_or_preset))
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
    return _build(content, str(file), path=file, folder=folder, changes=overrides, gpus=gpus)


def parse(
    text: str | bytes, file: str = "spec", *, overrides: Mapping[str, Any] | None = None, begun: bool = False
) -> Spec:
    """The specification in `text`.

    Args:
        text: YAML.
        file: what complaints call it; its stem is the study's name where the text gives none.
        overrides: as for `read`.
        begun: it is that of a study that was begun already: values are not checked again by rules that are newer.

    Raises:
        SpecError: it has mistakes.
    """
    return _build(text, file, changes=overrides, begun=begun)


def from_json(data: Mapping[str, Any], *, name: str = "study", folder: Path | None = None) -> Spec:
    """A specification from plain data in the grammar of `space.yaml`, as `Spec.to_json` writes it.

    It has been checked when its study was begun: values are not checked again by rules that are newer.

    Raises:
        SpecError: it has mistakes, or is not plain data.
    """
    try:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name}: is not plain data: {error}") from None
    return _build(text, name, folder=folder, begun=True)


def schema() -> dict[str, Any]:
    """JSON Schema (draft 7) of `space.yaml`."""
    from automl.specfile import json_schema

    return json_schema.schema()


def _build(
    content: str | bytes,
    file: str,
    *,
    path: Path | None = None,
    folder: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    begun: bool = False,
    gpus: Callable[[], int] | None = None,
) -> Spec:
    from automl.specfile.build import Surroundings, build, slug  # imported late: these need pydantic and PyYAML
    from automl.specfile.yaml.events import load

    around = Surroundings(folder, begun, gpus)
    return build(load(content, file), name=slug(Path(file).stem), path=path, around=around, changes=changes or {})


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _not_found(name: str) -> str:
    from automl.specfile import presets

    known = presets.all_presets()
    complete = [n for n in known if "/" not in n]
    if name in known:
        return f"preset {name!r} is only a part of a space; complete presets: {', '.join(complete)}"
    near = did_you_mean(name, [*complete, *(p.name for p in Path(".").glob("*.y*ml"))])
    return f"there is no file and no preset {name!r}{near} (presets: {', '.join(complete) or 'none is installed'})"
