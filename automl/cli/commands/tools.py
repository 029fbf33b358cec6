"""`automl init`, `compare`, `export`, `predict` and `doctor`."""

import csv as csv_module
import json as json_module
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options
from automl.errors import EnvironmentProblem, SpecError


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write space.yaml.")] = Path("."),
    csv: Annotated[Path | None, options.option("--csv", help="A table to learn from, with a header line.")] = None,
    target: Annotated[str | None, options.option("--target", help="The column to predict (default: the last).")] = None,
    force: Annotated[bool, options.option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write a commented space.yaml to start from.

    Beside it comes space.schema.json, with which editors complete and check what you write.
    """
    from automl import specfile as specs
    from automl.view.pages.starter import starter

    name = csv.name.partition(".")[0] if csv else "digits"
    text = starter(csv, target, study=name, folder=folder)
    schema = json_module.dumps(specs.schema(), indent=2) + "\n"
    files = {folder / "space.yaml": text, folder / "space.schema.json": schema}
    taken = [str(file) for file in files if file.exists()]
    if taken and not force:
        raise SpecError(f"{', '.join(taken)} exists; --force replaces")
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        file.write_text(content, encoding="utf-8")
    typer.echo(f"{folder / 'space.yaml'}\nnext  automl search {folder / 'space.yaml'}")


def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY STUDY...", help="Two or more studies.")],
    json: options.Json = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Compare studies at the same number of epochs."""
    from automl.study.study import Study
    from automl.view.pages import compare as comparing

    if len(studies) < 2:
        raise typer.BadParameter("give at least two studies", param_hint="STUDY")
    compared = comparing.compare([Study.open(options.study_path(name, dir)) for name in studies])
    typer.echo(json_module.dumps(compared, ensure_ascii=False) if json else comparing.text(compared))


def export(
    study: options.StudyName,
    optuna: Annotated[
        Path | None, options.option("--optuna", metavar="FILE", help="As an Optuna journal, for optuna-dashboard.")
    ] = None,
    csv: Annotated[Path | None, options.option("--csv", metavar="FILE", help="All trials as CSV.")] = None,
    onnx: Annotated[Path | None, options.option("--onnx", metavar="FILE", help="The winner's network as ONNX.")] = None,
    pt2: Annotated[
        Path | None, options.option("--pt2", metavar="FILE", help="The winner's network as a torch.export archive.")
    ] = None,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Write a study or its winner for other programs.

    A network is kept only if it gives the saved model's outputs on the sample rows. It takes prepared rows: see
    best/preparation.json.
    """
    from automl.leaderboard.board import Leaderboard
    from automl.study.study import Study

    if optuna is None and csv is None and onnx is None and pt2 is None:
        raise typer.BadParameter("say what to write: --optuna, --csv, --onnx or --pt2 FILE")
    path = options.study_path(study, dir)
    opened = Study.open(path)
    if csv is not None:
        csv.write_text(Leaderboard.of(opened.history).csv(), encoding="utf-8")
        typer.echo(f"{csv}: {len(opened.history)} trials")
    if optuna is not None:
        from automl.integrations.optuna_journal import export as journal

        typer.echo(f"{optuna}: {journal(opened, optuna)} trials; look at them with: optuna-dashboard {optuna}")
    if onnx is not None or pt2 is not None:
        from automl.bundle import export
        from automl.bundle.io import load_model

        model = load_model(path / "best")
        for file, write in ((onnx, export.to_onnx), (pt2, export.to_pt2)):
            if file is not None:
                typer.echo(f"{file}: outputs differ by at most {write(model, file):.1g} on the sample rows")


def predict(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A study (its winner), or a bundle's folder.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Rows to predict: CSV, TSV or Parquet.")],
    out: Annotated[Path | None, options.option("--out", "-o", help="Write CSV here instead of to stdout.")] = None,
    proba: Annotated[bool, options.option("--proba", help="Also the probability of each class.")] = False,
    keep: Annotated[bool, options.option("--keep", help="Repeat the table's own columns.")] = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Predict the rows of a table with a saved model, as CSV."""
    from automl.bundle.loading import load
    from automl.data.reading.readers import read_table

    folder = dir / bundle if (dir / bundle).is_dir() else Path(bundle)
    if not folder.is_dir():
        raise SpecError(f"no study and no bundle {bundle!r} (looked in {dir} too)")
    model = load(folder)
    rows = read_table(table)
    made = rows.copy() if keep else rows[[]].copy()
    made["prediction"] = model.predict(rows)
    if proba:
        shares = model.predict_proba(rows)
        for k, name in enumerate(model.classes):
            made[f"p({name})"] = shares[:, k]
    made.to_csv(out or sys.stdout, index=False, quoting=csv_module.QUOTE_MINIMAL)
    if out is not None:
        typer.echo(str(out))


def doctor(json: options.Json = False, dir: options.Dir = options.STUDIES) -> None:
    """Look at this machine: versions, devices, disk, limits."""
    from automl.view.pages.doctor import examine

    findings = examine(dir)
    if json:
        typer.echo(json_module.dumps({"schema": 1, "findings": [asdict(f) for f in findings]}, ensure_ascii=False))
    else:
        longest = max(len(f.what) for f in findings)
        for f in findings:
            mark = {"ok": "  ", "note": "! ", "problem": "X "}[f.level]
            typer.echo(f"{mark}{f.what:<{longest}}  {f.found}")
            if f.advice:
                typer.echo(f"  {'':<{longest}}  -> {f.advice}")
    problems = sum(f.level == "problem" for f in findings)
    if problems:
        raise EnvironmentProblem(f"{problems} problem{'' if problems == 1 else 's'} found (marked X)")
