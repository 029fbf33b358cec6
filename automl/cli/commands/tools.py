"""`automl init`, `automl compare` and `automl doctor`."""

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options, values
from automl.errors import EnvironmentProblem, SpecError

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder to write space.yaml into.")]
Csv = Annotated[Path | None, options.option("--csv", help="A table to learn from, with a header line.")]
Target = Annotated[
    list[str] | None, options.option("--target", help="The column to predict (default: the last one; repeatable).")
]
Force = Annotated[bool, options.option("--force", help="Replace existing files.")]
Cluster = Annotated[bool, options.option("--cluster", help="Check the nodes of a Ray cluster ($RAY_ADDRESS, --ray).")]
Studies = Annotated[list[str], typer.Argument(metavar="STUDY STUDY...", help="Two or more studies.")]


def init(folder: Folder = Path("."), csv: Csv = None, target: Target = None, force: Force = False,
         json: options.Json = False) -> None:  # fmt: skip
    """Write a commented space.yaml to start from.

    Also writes space.schema.json, with which editors complete and check the file.
    """
    from automl import specfile
    from automl.view.pages.starter import starter

    name = csv.name.partition(".")[0] if csv else "digits"
    text = starter(csv, values.targets(target), study=name, folder=folder)
    schema = json_module.dumps(specfile.schema(), indent=2) + "\n"
    files = {folder / "space.yaml": text, folder / "space.schema.json": schema}
    same = [file for file in files if file.suffix == ".json" and file.exists() and file.read_bytes() == schema.encode()]
    taken = [str(file) for file in files if file.exists() and file not in same]
    if taken and not force:
        raise SpecError(f"{', '.join(taken)} already exists; --force replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        file.write_text(content, encoding="utf-8")
    if json:
        written = {"schema": 1, "files": [str(file) for file in files]}
        return typer.echo(json_module.dumps(written, ensure_ascii=False))
    return typer.echo(f"{folder / 'space.yaml'}\nnext: automl search {folder / 'space.yaml'}")


def compare(studies: Studies, json: options.Json = False, dir: options.Dir = options.STUDIES) -> None:
    """Compare studies at the same number of epochs."""
    from automl.study.study import Study
    from automl.view.pages import compare as pages

    if len(studies) < 2:
        raise typer.BadParameter("give at least two studies", param_hint="STUDY")
    compared = pages.compare([Study.open(values.study_path(name, dir)) for name in studies])
    typer.echo(json_module.dumps(compared, ensure_ascii=False) if json else pages.text(compared))


def doctor(
    cluster: Cluster = False, ray: options.Ray = None, json: options.Json = False, dir: options.Dir = options.STUDIES
) -> None:
    """Check this machine: versions, devices, disk, plugins.

    With --cluster, each node of a Ray cluster instead: what it has, and whether it can work for this machine.
    """
    if cluster or ray:
        _cluster(ray or "", dir, json)
        return
    from automl.view.pages import doctor as pages

    findings = pages.examine(dir)
    if json:
        typer.echo(json_module.dumps({"schema": 1, "findings": [asdict(f) for f in findings]}, ensure_ascii=False))
    else:
        typer.echo(pages.text(findings))
    problems = sum(f.level == "problem" for f in findings)
    if problems and json:
        raise typer.Exit(EnvironmentProblem.exit_code)
    if problems:
        raise EnvironmentProblem(f"{problems} problem{'' if problems == 1 else 's'} found (marked X)")


def _cluster(address: str, dir: Path, json: bool) -> None:
    from automl.executors.clusters import nodes as pages

    nodes = pages.examine(address, dir)
    typer.echo(json_module.dumps(pages.as_json(nodes), ensure_ascii=False) if json else pages.text(nodes))
    bad = sum(bool(node.problems) for node in nodes)
    if bad and json:
        raise typer.Exit(EnvironmentProblem.exit_code)
    if bad:
        raise EnvironmentProblem(f"{bad} of {len(nodes)} nodes cannot work for this machine (marked X)")
