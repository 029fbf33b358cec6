"""Mutations of real specifications: whatever is fed to the reader must give a Spec or a SpecError with a place.

python -m automl.testing.stress.fuzz 200000 [seed]      ends with exit code 1 at the first thing that is neither
"""

import random
import re
import sys
import time
from collections.abc import Iterator, Sequence

from automl import specfile
from automl.errors import SpecError

SEEDS = (
    "study: digits\nmodel: mlp\ndata: digits\nsplit: {train: 0.5, val: 0.25, test: 0.25}\nmetric: val_accuracy\n"
    "epochs: 30\nspace:\n  architecture:\n    depth: {int: [1, 4]}\n    width: {int: [16, 256], log: true}\n"
    "    activation: [relu, gelu, silu]\n  regularization:\n    dropout: {float: [0.0, 0.6]}\n"
    "    weight_decay: {float: [1e-6, 1e-1], log: true, default: 1e-4}\n  optimizer:\n    optimizer: [sgd, adamw]\n"
    "    lr: {float: [1e-4, 1.0], log: true}\n    momentum: {float: [0.5, 0.99], when: {optimizer: sgd}}\n"
    "    batch_size: {choice: [32, 64, 128], ordered: true}\nstrategy: random\nstopper: {name: asha, eta: 3}\n"
    "budget: {trials: 60, time: 10m, epochs: 1500}\nseed: 7\n",
    "# my own loop\ntrain: package.module:train\nmetric: {name: loss, direction: minimize}\nspace:\n  lr:\n"
    "    float: [1e-5, 1.0]\n    log: true\n  \"width\": 64\n  kind: [a, 'b c', 3, null, true, 1.5]\n"
    "  steps: {int: [10, 100], step: 10, default: 20, when: {kind: [a, 3]}}\nfirst: [{lr: 0.1}, {lr: 0.2, kind: a}]\n"
    'constraints: ["lr * width < 10"]\nstrategy: {name: grid, resolution: 3}\nbudget: {time: 1h30m}\n'
    "finalists: {top: 3, seeds: 2}\nretries: 0\ntrial_timeout: 90s\nparallel: replicate\n",
    'command: [python, train.py, "--lr={lr}", --seed, "{seed}"]\nmetric: val_loss\nspace: {lr: {float: [0.1, 1]}}\n'
    "budget: {trials: 3}\nworkers: 2\nresources: {gpus: 0.5}\nfuse: never\nstopper: none\nfinalists: none\n",
)
PIECES = (
    "&a", "*a", "!!int", "!x", "<<:", "---\n", "...\n", "%YAML 1.1\n", "\t", "\x00", "\x07", "\u2028", "\ufeff", "é",
    "{", "}", "[", "]", ",", ":", ": ", "- ", "? ", "|\n", ">\n", "'", '"', "#", "\n", "\r", "  ", "@", "`", "\\",
    ".inf", ".nan", "-1", "0", "1e999", "9" * 30, "1e-400", "010", "true", "null", "~", "no", "''", "9007199254740993",
    "float", "int", "choice", "log", "step", "when", "default", "ordered", "use: mlp", "name", "space", "budget",
    "model: mlp", "\U0001f600",
)  # fmt: skip
_WORD = re.compile(r"[\w.+-]+")
_PLACE = re.compile(r"^\S.*:\d+:\d+: .", re.MULTILINE)


def mutant(rng: random.Random, seeds: Sequence[str] = SEEDS) -> str:
    """A specification after one to six random changes."""
    text = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        text = _CHANGES[rng.randrange(len(_CHANGES))](text, rng)
    return text


def _insert(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(PIECES) + text[at:]


def _delete(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + text[at + rng.choice((1, 1, 2, 5, 20)) :]


def _word(text: str, rng: random.Random) -> str:
    """One word for a piece, or for another word of the text."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    old, other = rng.choice(words), rng.choice(words)
    new = rng.choice(PIECES) if rng.random() < 0.5 else other[0]
    return text[: old.start()] + new + text[old.end() :]


def _line(text: str, rng: random.Random) -> str:
    """A line is doubled, dropped, moved or indented."""
    lines = text.split("\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0:
        lines.insert(to, lines[at])
    elif how == 1:
        del lines[at]
    elif how == 2:
        lines.insert(to, lines.pop(at))
    else:
        lines[at] = " " * rng.randint(1, 5) + lines[at]
    return "\n".join(lines)


def _letter(text: str, rng: random.Random) -> str:
    if not text:
        return text
    at = rng.randrange(len(text))
    return (
        text[:at]
        + chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x2FF), rng.randrange(0x10FFFF))))
        + text[at + 1 :]
    )


def _repeat(text: str, rng: random.Random) -> str:
    """A stretch of the text many times over."""
    at = rng.randint(0, len(text))
    stretch = text[at : at + rng.randint(1, 12)]
    return text[:at] + stretch * rng.choice((2, 3, 50, 2000)) + text[at:]


_CHANGES = (_insert, _delete, _word, _word, _line, _letter, _repeat)


def wrong(text: str, limit_s: float = 2.0) -> str:
    """What is wrong with what the reader does with `text`; empty if nothing is. Times are CPU times."""
    started = time.process_time()
    try:
        read = specfile.parse(text, "space.yaml")
        again = specfile.from_json(read.to_json())
        if (again.space, again.plan, again.metric) != (read.space, read.plan, read.metric):
            return "the specification changes when written as JSON and read back"
    except SpecError as error:
        if not _PLACE.search(str(error)):
            return f"an error without a place: {error}"
    except Exception as error:  # anything else is what the fuzzer looks for
        return f"{type(error).__name__}: {error}"
    took = time.process_time() - started
    return f"took {took:.1f} s" if took > limit_s else ""


def mutants(count: int, seed: int) -> Iterator[str]:
    """Yield `count` mutated specifications; each depends only on `seed` and on its number."""
    for number in range(count):
        yield mutant(random.Random(f"{seed}/{number}"))


def main(count: int, seed: int) -> int:
    """Try `count` mutants; the first that breaks the promise is printed."""
    started = time.process_time()
    for number, text in enumerate(mutants(count, seed)):
        if found := wrong(text):
            print(f"mutant {number} of seed {seed}: {found}\n{text!r}")
            return 1
    took = time.process_time() - started
    print(f"{count} mutants of seed {seed}: each a Spec or a SpecError with a place; {took:.0f} s CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
