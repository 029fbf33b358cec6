"""Mutations of rows to predict, of their cells and of their files: the same row gets the same prepared values, always.

python -m automl.testing.stress.fuzz_rows 200000 [seed]      ends with exit code 1 at the first row for which that fails

What cannot be read must be a DataError of one sentence.
"""

import random
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from automl.errors import DataError
from automl.testing.stress import random_tables
from automl.testing.stress.fuzz_tables import PIECES, changed

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 25
MODELS = 200
"""The number of mutants after which another training table is drawn."""
LIMIT_S = 5.0
"""CPU seconds that one mutant may take."""


@dataclass(frozen=True)
class Fitted:
    """A preparation, and the rows that mutants are made of."""

    preparation: dict[str, Any]
    rows: pd.DataFrame
    names: tuple[str, ...]


def fitted(rng: random.Random, folder: Path) -> Fitted:
    """The preparation of a random table that has something to learn from."""
    from automl.data import load

    while True:
        frame = pd.DataFrame(random_tables.table(rng, ROWS, most=5))
        names = rng.sample(sorted(random_tables.FILES), len(random_tables.FILES))
        path = next(p for name in names if (p := random_tables.write(frame, name, folder)))
        try:
            preparation = load(str(path), target="target", seed=0).preparation
        except DataError:
            continue
        return Fitted(preparation, frame.drop(columns="target"), tuple(names))


def wrong(model: Fitted, rng: random.Random, folder: Path) -> str:
    """What is wrong with what happens to one mutant of the rows; empty if nothing is."""
    started = time.process_time()
    try:
        found = _cells(model, rng, folder) if rng.random() < 0.6 else _file(model, rng, folder)
    except DataError as error:
        said = str(error)
        found = "" if said.strip() and "\n" not in said and len(said) < 1000 else f"a message that is none: {said!r}"
    except Exception as error:  # what the fuzzer looks for
        found = f"{type(error).__name__}: {error}"
    took = time.process_time() - started
    return found or (f"took {took:.1f} s" if took > LIMIT_S else "")


def _cells(model: Fitted, rng: random.Random, folder: Path) -> str:
    """Change some cells; each form of the table gives the same, and so does a row alone."""
    frame = model.rows.iloc[sorted(rng.sample(range(ROWS), rng.randint(1, ROWS)))].reset_index(drop=True)
    for _ in range(rng.choice((1, 2, 5))):
        row, column = rng.randrange(len(frame)), rng.randrange(frame.shape[1])
        frame.iat[row, column] = _cell(str(frame.iat[row, column]), model, rng)
    given = random_tables.OBJECTS[rng.choice(sorted(random_tables.OBJECTS))](frame)
    whole, one = _prepared(model, given), rng.randrange(len(frame))
    alone = _prepared(model, frame.iloc[one].to_dict())
    if not _equal(whole[one : one + 1], alone):
        return f"row {one} alone is not the row in the table: {frame.iloc[one].to_dict()}"
    path = random_tables.write(frame, rng.choice(model.names), folder)
    if path is None or any(mark in cell for cell in frame.to_numpy().ravel() for mark in "\x00\r\n\ufeff"):
        return ""
    return "" if _equal(whole, _prepared(model, path)) else f"{path.name} is not the table: {frame.to_dict('list')}"


def _file(model: Fitted, rng: random.Random, folder: Path) -> str:
    """Change the bytes of a file; each row that can be read in it gets the same values alone."""
    from automl.data.preparing.given import read_file

    path = next(p for name in rng.sample(model.names, len(model.names))
                if (p := random_tables.write(model.rows.head(rng.randint(1, ROWS)), name, folder)))  # fmt: skip
    path.write_bytes(changed(path.read_bytes(), rng))
    frame = read_file(model.preparation, path)
    whole = _prepared(model, frame)
    if len(whole) != len(frame):
        return f"{path.read_bytes()!r}: {len(whole)} answers for {len(frame)} rows"
    for one in rng.sample(range(len(frame)), min(len(frame), 2)):
        if not _equal(whole[one : one + 1], _prepared(model, frame.iloc[one])):
            return f"{path.read_bytes()!r}: row {one} alone is not the row in the table"
    return ""


def _cell(cell: str, model: Fitted, rng: random.Random) -> str:
    match rng.randrange(4):
        case 0:
            return rng.choice(PIECES)
        case 1:
            return str(model.rows.iat[rng.randrange(ROWS), rng.randrange(model.rows.shape[1])])
        case 2:
            at = rng.randint(0, len(cell))
            return cell[:at] + rng.choice((*PIECES, ".", "0", "/", ":", "e", "%")) + cell[at:]
        case _:
            at = rng.randrange(max(len(cell), 1))
            return cell[:at] + cell[at + 1 :]


def _equal(one: "Tensor", other: "Tensor") -> bool:
    return np.array_equal(one.numpy(), other.numpy())


def _prepared(model: Fitted, rows: Any) -> "Tensor":
    from automl.data.preparing.transform import transform

    values = transform(model.preparation, rows)
    if not bool(np.isfinite(values.numpy()).all()):
        raise ValueError("a value that is not finite")
    return values


def main(count: int, seed: int) -> int:
    """Try `count` mutants. Returns the exit code."""
    started = time.process_time()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(count):
            if number % MODELS == 0:
                model = fitted(random.Random(f"model/{seed}/{number}"), folder)
            if found := wrong(model, random.Random(f"row/{seed}/{number}"), folder):
                print(f"mutant {number} of seed {seed}: {found}")
                return 1
    took = time.process_time() - started
    print(f"{count} mutants of rows of seed {seed}: the same row, the same values; {took:.0f} s CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
