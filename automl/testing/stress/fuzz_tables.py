"""Mutations of real tables: whatever is fed to the loader must give prepared data or one of our errors.

python -m automl.testing.stress.fuzz_tables 200000 [seed]      ends with exit code 1 at the first thing that is neither
"""

import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from automl.errors import AutoMLError
from automl.testing.stress import random_tables

ROWS = 30
PIECES = (
    "", "nan", "inf", "-inf", "1e999", "1e-400", "true", "None", "NULL", "?", "-", "é", "\x00", "\ufeff", "\u2028",
    '"', '""', "'", ",", ";", "\t", "\n", "\r", "\r\n", " ", "=1+1", "9" * 40, "0x1f", "1_000", "2026-11-22", "1,5",
    "\U0001f600", "a" * 5000, "-0", "1e3", "x,y,target",
)  # fmt: skip


def table(rng: random.Random) -> bytes:
    """A small table with numbers, words, gaps and a target."""
    lines = ["x,y,word,target"]
    for k in range(ROWS):
        lines.append(f"{rng.gauss(0, 1):.4g},{rng.choice(['1', '2', '', '3.5'])},{rng.choice('abc')},{'yn'[k % 2]}")
    return "\n".join(lines).encode() + b"\n"


def mutant(rng: random.Random) -> bytes:
    """A table after one to six random changes of its text or its bytes."""
    return changed(table(rng) if rng.random() < 0.5 else written(rng), rng)


def written(rng: random.Random) -> bytes:
    """A table of columns of all kinds, as one of the files that people have."""
    frame = pd.DataFrame(random_tables.table(rng, ROWS, most=4))
    for name in rng.sample(sorted(random_tables.FILES), len(random_tables.FILES)):
        try:
            return b"" if name.endswith(".parquet") else random_tables.FILES[name](frame)
        except UnicodeEncodeError:
            continue
    return b""


def changed(text: bytes, rng: random.Random) -> bytes:
    """The content of a file after one to six random changes."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randint(0, len(text))
        match rng.randrange(6):
            case 0:
                text = text[:at] + rng.choice(PIECES).encode(errors="surrogatepass") + text[at:]
            case 1:
                text = text[:at] + text[at + rng.choice((1, 2, 5, 50)) :]
            case 2:
                text = text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
            case 3:
                lines = text.split(b"\n")
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                text = b"\n".join(lines)
            case 4:
                cells = text.split(b",")
                cells[rng.randrange(len(cells))] = rng.choice(PIECES).encode(errors="surrogatepass")
                text = b",".join(cells)
            case _:
                text = text[:at] + text[at : at + 12] * rng.choice((2, 3, 50)) + text[at:]
    return text


def wrong(content: bytes, folder: Path, limit_s: float = 5.0) -> str:
    """What is wrong with what the loader does with `content`; empty if nothing is. Times are CPU times."""
    from automl import data

    file = folder / "table.csv"
    file.write_bytes(content)
    started = time.process_time()
    try:
        made = data.load(str(file), target="target", seed=0)
        if not all(math.isfinite(float(part.x.float().sum())) for part in (made.train, made.val, made.test)):
            return "a value that is not finite gets into the data"
    except AutoMLError as error:
        if error.exit_code != 2 or not str(error).strip() or "\n" in str(error):
            return f"exit code {error.exit_code}: {error}"
    except Exception as error:  # what the fuzzer looks for
        return f"{type(error).__name__}: {error}"
    took = time.process_time() - started
    return f"took {took:.1f} s" if took > limit_s else ""


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` mutated tables; the bytes of each depend only on `seed` and on its number."""
    for number in range(count):
        yield mutant(random.Random(f"table/{seed}/{number}"))


def main(count: int, seed: int) -> int:
    """Try `count` mutated tables. Returns the exit code."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        for number, content in enumerate(mutants(count, seed)):
            if found := wrong(content, Path(temporary)):
                print(f"table {number} of seed {seed}: {found}\n{content!r}")
                return 1
    took = time.process_time() - started
    print(f"{count} tables of seed {seed}: each data or an error of ours; {took:.0f} s CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
