"""`automl export` and `automl predict`: what a study has found, for other programs and for new rows."""

import csv as csv_module
import json as json_module
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options, values
from automl.errors import BundleError, DataError, SpecError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from automl.bundle.ensemble import Ensemble
    from automl.bundle.model import Model

file_option = partial(options.option, metavar="FILE")

Optuna = Annotated[Path | None, file_option("--optuna", help="As an Optuna journal, for optuna-dashboard.")]
Csv = Annotated[Path | None, file_option("--csv", help="All trials as CSV.")]
Onnx = Annotated[Path | None, file_option("--onnx", help="The winner's network as ONNX.")]
Pt2 = Annotated[Path | None, file_option("--pt2", help="The winner's network as a torch.export archive.")]
Docker = Annotated[
    Path | None, file_option("--docker", metavar="DIR", help="A folder that builds an image of its server.")
]
Compressed = Annotated[
    bool, options.option("--compressed", help="The network that `automl compress` has chosen, not the winner's.")
]
Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="A study (its winner), or the folder of a saved model.")]
Table = Annotated[Path, typer.Argument(metavar="TABLE", help="Rows to predict: CSV, TSV or Parquet.")]
Proba = Annotated[bool, options.option("--proba", help="Add the probability of each class.")]
Keep = Annotated[bool, options.option("--keep", help="Repeat the columns of the table.")]
Output = Annotated[Path | None, options.option("--out", "-o", help="Write the CSV into this file instead of stdout.")]


def export(
    study: options.StudyName,
    optuna: Optuna = None,
    csv: Csv = None,
    onnx: Onnx = None,
    pt2: Pt2 = None,
    docker: Docker = None,
    compressed: Compressed = False,
    dir: options.Dir = options.STUDIES,
    json: options.Json = False,
) -> None:
    """Write a study or its winner for other programs.

    A network is kept only if it reproduces the saved model's outputs on sample rows. Its inputs are prepared rows: see
    best/preparation.json.
    """
    from automl.study import paths
    from automl.study.study import Study

    if all(one is None for one in (optuna, csv, onnx, pt2, docker)):
        raise typer.BadParameter("name at least one: --optuna, --csv, --onnx or --pt2 FILE, or --docker DIR")
    path = values.study_path(study, dir)
    opened, written = Study.open(path), list[tuple[Path, str]]()
    if csv is not None:
        from automl.leaderboard.board import Leaderboard

        csv.write_text(Leaderboard.of(opened.history).csv(), encoding="utf-8")
        written.append((csv, f"{len(opened.history)} trials"))
    if optuna is not None:
        from automl.integrations.optuna_journal import export as journal

        written.append((optuna, f"{journal(opened, optuna)} trials; to see them: optuna-dashboard {optuna}"))
    if onnx is not None or pt2 is not None:
        _networks(paths.compressed(path) if compressed else path, onnx, pt2, written)
    if docker is not None:
        from automl.serving import image

        packages = image.write(paths.compressed(path) / paths.BEST if compressed else path, docker, path.name)
        written.append(
            (docker, f"an image with {len(packages)} packages; to build it: docker build -t {path.name} {docker}")
        )
    if json:
        files = [{"file": str(file), "note": text} for file, text in written]
        return typer.echo(json_module.dumps({"schema": 1, "files": files}, ensure_ascii=False))
    return typer.echo("\n".join(f"{file}: {text}" for file, text in written))


def _networks(folder: Path, onnx: Path | None, pt2: Path | None, written: list[tuple[Path, str]]) -> None:
    """Write the winner's network in the formats for which there is a file; add each to `written`, with a note.

    Args:
        folder: of a study, or of its compressed models.
        onnx, pt2: the files; None: not wanted.
        written: gets them.

    Raises:
        BundleError: the compressed model is an ensemble.
    """
    from automl.bundle import ensemble, export, files
    from automl.bundle.io import load_model
    from automl.study import paths

    best = folder / paths.BEST
    if members := ensemble.members(best):
        raise BundleError(
            f"{best}: {len(members)} networks that answer together, and a file holds one; each has its bundle in this "
            "folder. For a single network: automl compress --way student, or --way fewer with a larger --lose"
        )
    pack = ensemble.members(files.find(folder))
    which = f"the best single model (the winner is an ensemble of {len(pack)}); " if pack else ""
    model = load_model(best)
    for file, write in ((onnx, export.to_onnx), (pt2, export.to_pt2)):
        if file is not None:
            written.append((file, f"{which}outputs differ by at most {write(model, file):.1g} on the sample rows"))


def predict(
    bundle: Bundle,
    table: Table,
    out: Output = None,
    proba: Proba = False,
    keep: Keep = False,
    dir: options.Dir = options.STUDIES,
    json: options.Json = False,
) -> None:
    """Predict the rows of a table with a saved model, as CSV."""
    import pandas as pd

    from automl.bundle.loading import load
    from automl.bundle.model import in_one_line
    from automl.leaderboard.board import harmless

    folder = dir / bundle if (dir / bundle).is_dir() else Path(bundle)
    if not folder.is_dir():
        raise SpecError(f"no study and no saved model {bundle!r} (also searched in {dir})")
    model = load(folder)
    rows = model.table(table)
    unread: list[str] = []
    outputs = model.outputs(rows, unread)
    columns = _predictions(model, rows, outputs)
    if proba:
        if model.kind != "classification" and model.kind.variant != "labels":
            raise DataError(f"--proba: probabilities are for classes; this model's task is {model.kind}")
        shares = model.probabilities(outputs)
        columns |= {f"p({name})": shares[:, k] for k, name in enumerate(model.classes)}
    answers = len(outputs)
    if keep and answers != len(rows):
        some = f"predicts {answers}, not one for each of the {len(rows)} rows"
        raise DataError(f"--keep: a model of a series predicts what follows the last rows ({some}); leave --keep out")
    result = _beside(rows, columns) if keep else pd.DataFrame(columns)
    result.columns = pd.Index([harmless(str(name)) for name in result.columns])
    if unread:
        typer.echo(f"automl: {in_one_line(unread)}", err=True)
    if out is not None or not json:
        result.to_csv(out or sys.stdout, index=False, quoting=csv_module.QUOTE_MINIMAL)
    if json:
        rows_made = [] if out is not None else json_module.loads(result.to_json(orient="records", date_format="iso"))
        facts = {"schema": 1, "file": None if out is None else str(out), "rows": rows_made, "notes": unread}
        return typer.echo(json_module.dumps(facts, ensure_ascii=False))
    return None if out is None else typer.echo(str(out))


def _predictions(model: "Model | Ensemble", rows: "pd.DataFrame", outputs: "Tensor") -> dict[str, Any]:
    """The columns of predictions; of a series also what they follow."""
    import numpy as np

    from automl.leaderboard.board import harmless

    predicted = model.decoded(outputs)
    if predicted.dtype.kind in "OU":  # labels, which a stranger may have chosen
        predicted = np.asarray([harmless(v) if isinstance(v, str) else v for v in predicted.tolist()], dtype=object)
    several = predicted.T if predicted.ndim == 2 else [predicted]
    titles = [f"prediction of {harmless(name)}" for name in model.targets] if model.targets else _numbered(len(several))
    columns: dict[str, Any] = dict(zip(titles, several, strict=True))
    names, times = model.last_rows(rows)
    if names:
        after = {"after": [harmless(time) for time in times]} if times else {}
        return {"series": [harmless(name) for name in names], **after, **columns}
    if times:
        steps = "step" if len(several) == 1 else f"{len(several)} steps"
        typer.echo(f"automl: predicts the {steps} after {harmless(times[0])}", err=True)
    return columns


def _numbered(count: int) -> list[str]:
    return ["prediction", *(f"prediction {k}" for k in range(2, count + 1))]


def _beside(rows: "pd.DataFrame", columns: dict[str, Any]) -> "pd.DataFrame":
    """`rows` with further columns, which get a number where the table has one of that name already."""
    import pandas as pd

    from automl.data.reading.readers import header_of

    rows = rows.set_axis(header_of(rows), axis=1)
    taken, added = {str(name) for name in rows.columns}, {}
    for name, answers in columns.items():
        free = next(n for n in (name, *(f"{name} {k}" for k in range(2, 10**6))) if n not in taken)
        added[free] = answers
        taken.add(free)
    return pd.concat([rows.reset_index(drop=True), pd.DataFrame(added)], axis=1)
