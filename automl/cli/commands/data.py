"""`automl data`: everything that was decided about the data of a specification, a table or a study."""

import json as json_module
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options, progress, values
from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.data.summary.facts import Summary

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A space.yaml, a preset, a table or other file of data, or a study.")
]
Target = Annotated[
    list[str] | None,
    options.option("--target", help="The column to predict, where SOURCE is data (default: the last; repeatable)."),
]
Sets = Annotated[
    list[str] | None,
    options.option("--set", metavar="KEY=VALUE", help="Change an entry, e.g. prepare.drop=total (repeatable)."),
]
Plan = Annotated[
    bool,
    options.option("--plan", help="Say what preparing a large table takes (rows, disk, time), and prepare nothing."),
]
KINDS = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".npz", ".npy", ".txt", ".gz", ".bz2", ".xz", ".zst", ".idx")
"""Endings of files of data; any other file is read as a specification."""
ENTRIES = ("prepare", "split", "seed")
"""What can be set for data without a specification."""


def data(
    source: Source, target: Target = None, set_: Sets = None, plan: Plan = False, json: options.Json = False,
    dir: options.Dir = options.STUDIES,
) -> None:  # fmt: skip
    """Show all that is decided about data before a search.

    Each column with its role, kind, missing and different values and examples; what is left out and why; class
    balance, and what a constant guess would score; columns that alone tell the target; guesses, with the option that
    settles them. With a study, what its search has found. Nothing is trained.
    """
    columns = values.targets(target)
    if plan:
        if isinstance(columns, list):
            raise typer.BadParameter("a streamed table has one target; give it once", param_hint="--target")
        _tell_plan(source, columns, values.overrides(set_), json)
        return
    if (study := _study(source, dir)) is not None:
        summary, metric = _kept(study)
    elif _is_data(source):
        progress.say(f"reading {source}")
        summary, metric = _of_file(source, columns, values.overrides(set_)), ""
    else:
        if columns is not None:
            raise typer.BadParameter("a specification has its own; --set target=... changes it", param_hint="--target")
        progress.say(f"reading the data of {source}")
        summary, metric = _of_spec(source, values.overrides(set_))
    from automl.view.pages import data as pages

    if json:
        made = {"schema": 1, "source": source, "metric": metric or None, **(pages.document(summary, whole=True) or {})}
        typer.echo(json_module.dumps(made, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(pages.text(summary, _width()))


def _study(source: str, dir: Path) -> Path | None:
    """The study that is meant: a folder with a ledger, or a name below `dir` that nothing else has."""
    if (Path(source) / "ledger.sqlite").is_file():
        return Path(source)
    taken = Path(source).exists() or Path(f"{source}.yaml").exists()
    return dir / source if not taken and not _is_preset(source) and (dir / source / "ledger.sqlite").is_file() else None


def _is_preset(name: str) -> bool:
    from automl.specfile.presets import complete

    return complete(name) is not None


def _kept(path: Path) -> tuple["Summary", str]:
    from automl.data.summary.facts import of_study
    from automl.study.study import Study

    study = Study.open(path)
    summary = of_study(study.facts)
    if summary is None:
        raise SpecError(
            f"{path}: this study has kept nothing about its data: it trains a function or a command, has not loaded "
            "them yet, or was begun by an earlier version; `automl data SPEC` reads them"
        )
    return summary, study.metric.name


def _is_data(source: str) -> bool:
    """Whether the source is data themselves: a file of a kind that holds data, a folder, a pattern, an address."""
    path = Path(source).expanduser()
    if "://" in source or (set("*?[") & set(source) and not path.exists()):
        return True
    return path.is_dir() or (path.is_file() and (path.suffix.lower() in KINDS or "ubyte" in path.name))


def _of_file(source: str, target: str | list[str] | None, sets: Mapping[str, str]) -> "Summary":
    entries = _entries(sets)
    from automl.data.loading import load

    place = source if "://" in source else str(Path(source).expanduser().absolute())
    if target is None and not (entries.get("prepare") or {}).get("window"):
        target = _last_column(place)
    loaded = load(place, target=target, split=entries.get("split"), prepare=entries.get("prepare"),
                  seed=entries.get("seed", 0), look=None)  # fmt: skip
    assert loaded.summary is not None
    return loaded.summary


def _last_column(source: str) -> str | None:
    """The target of a table where none is named: its last column."""
    from automl.data.reading.many import files
    from automl.data.reading.many.table import Table

    found = files.find(source, Path())
    if not found:
        return None
    name = str(Table(tuple(found)).head().columns[-1])
    progress.say(f"target: {name}, the last column; --target names another")
    return name


def _tell_plan(source: str, target: str | None, sets: Mapping[str, str], json: bool) -> None:
    """Print what preparing a table takes."""
    from dataclasses import asdict

    from automl.data.reading import sources
    from automl.data.streaming import streaming
    from automl.data.streaming.request import Request

    if _is_data(source):
        entries, base, where = _entries(sets), Path(), source
        target = _last_column(source) if target is None else target
    else:
        entries, base, where, target = _asked_in(source, sets)
    found = sources.files_of(where, base)
    if not found:
        raise SpecError(f"{source}: --plan is for tables in files, which are all that is streamed")
    request = Request(tuple(found), target, entries.get("split") or {}, entries.get("prepare") or {},
                      entries.get("seed") or 0)  # fmt: skip
    estimate, done = streaming.estimate(request)
    if json:
        typer.echo(json_module.dumps({"schema": 1, "source": source, "done": done, **asdict(estimate)}))
    else:
        typer.echo("\n".join(streaming.summary(estimate, done)))


def _asked_in(spec: str, sets: Mapping[str, str]) -> tuple[dict[str, Any], Path, str, str | None]:
    """(split, prepare and seed; the folder of relative paths; the data; the target) of a specification."""
    from automl import specfile

    read = specfile.read(spec, overrides=sets)
    if read.data is None:
        raise SpecError(f"{spec}: has no data of its own")
    from automl.tasks.builtin import BuiltinTask
    from automl.tasks.from_spec import task_of

    task = task_of(read)
    assert isinstance(task, BuiltinTask)
    if isinstance(task.target, list):
        raise SpecError(f"{spec}: --plan is for tables that are streamed, which have one target")
    entries = {"split": task.split, "prepare": task.prepare, "seed": task.seed}
    return entries, task.folder, task.data, task.target


def _entries(sets: Mapping[str, str]) -> dict[str, Any]:
    """`{"prepare.drop": "total"}` as a tree; values are read as in a specification.

    Raises:
        SpecError: there is no such entry, or a value is no YAML.
    """
    from automl.specfile.yaml.events import load

    tree: dict[str, Any] = {}
    for key, text in sets.items():
        top, _, rest = key.partition(".")
        if top not in ENTRIES or bool(rest) is (top == "seed"):
            raise SpecError(f"--set {key}: for data without a specification set prepare.X, split.X or seed")
        read = load(text, f"--set {key}={text}")
        if read.complaints:
            raise SpecError(f"--set {key}={text}: {read.complaints[0].message}")
        if rest:
            tree.setdefault(top, {})[rest] = read.value
        elif isinstance(read.value, int):
            tree[top] = read.value
        else:
            raise SpecError(f"--set seed={text}: expected a whole number")
    return tree


def _of_spec(source: str, sets: Mapping[str, str]) -> tuple["Summary", str]:
    from automl import specfile
    from automl.tasks.builtin import BuiltinTask
    from automl.tasks.from_spec import task_of

    read = specfile.read(source, overrides=sets)
    task = task_of(read)
    if not isinstance(task, BuiltinTask):
        raise SpecError(
            f"{source}: trains your own {'command' if read.command else 'function'}, which reads its data itself; "
            "for a table: automl data table.csv --target COLUMN"
        )
    from automl.data.loading import load

    loaded = load(task.data, target=task.target, split=task.split, seed=task.seed, prepare=task.prepare,
                  base=task.folder, look=None)  # fmt: skip
    assert loaded.summary is not None
    return loaded.summary, read.metric.name


def _width() -> int:
    """Cells of a line: those of the terminal, from 60 up."""
    import shutil

    return max(60, min(shutil.get_terminal_size((100, 24)).columns, 160))
