"""Makes a study of ours from another program's rows."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from automl.core.space import Space
from automl.core.trial import Metric
from automl.errors import SpecError
from automl.integrations.importing import exports, optuna_study
from automl.integrations.importing.rows import Row, config_of
from automl.study.study import Study


@dataclass(frozen=True)
class Imported:
    """What became of the rows of a file."""

    path: Path  # the new study
    trials: int
    failed: int  # without a result
    misfits: tuple[tuple[str, int], ...]  # (why, how many) of rows that are no point of the space

    def __str__(self) -> str:
        left = [f"{self.failed} without a result"] if self.failed else []
        left += [f"{count} that do not fit the space ({why})" for why, count in self.misfits[:3]]
        more = sum(count for _, count in self.misfits[3:])
        left += [f"{more} that do not fit for other reasons"] if more else []
        said = f"{self.path}: {self.trials} trials" + (f"; left out: {', '.join(left)}" if left else "")
        return f"{said}\nto start a search from it: warm: [{self.path}]"


def rows_of(file: Path, metric: Metric, study: str | None = None) -> list[Row]:
    """The trials in a file of another program.

    Raises:
        SpecError: there is no such file, or nothing that is known can read it.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise SpecError(f"{file}: cannot be read ({error.strerror})") from None
    if optuna_study.is_one(file, start):
        return optuna_study.read(file, metric, study)
    if study is not None:
        raise SpecError(f"{file}: only Optuna's storages hold several studies, so --study is not used here")
    return exports.read_json(file, metric) if start.lstrip()[:1] in (b"[", b"{") else exports.read_csv(file, metric)


def import_rows(rows: list[Row], space: Space, metric: Metric, path: Path, source: str) -> Imported:
    """A study at `path` with these rows.

    Args:
        rows: trials of another program.
        space, metric: of the new study; rows that are no point of the space are left out.
        path: a folder that does not exist yet.
        source: where the rows come from, for the ledger.

    Raises:
        SpecError: no row has a result and fits; nothing was written.
    """
    results = [row for row in rows if not row.failed]
    read = [(row, *config_of(row.values, space)) for row in results]
    fitting = [(row, config) for row, config, _ in read if config is not None]
    misfits = Counter(why for _, config, why in read if config is None)
    if not fitting:
        why = misfits.most_common(1)[0][0] if misfits else f"none of the {len(rows)} rows has a result"
        raise SpecError(f"{source}: no trial fits the space: {why}")
    with Study(space, metric=metric, strategy="random", path=path, facts={"imported": source}) as study:
        for row, config in fitting:
            assert row.value is not None
            study.add_curve(config, [*row.curve] or [(1, row.value)], stopped=row.stopped)
    return Imported(path, len(fitting), len(rows) - len(results), tuple(misfits.most_common()))
