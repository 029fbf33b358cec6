"""Updates of a followed folder that are killed at random moments: `python tests/support/updating_kills.py --kills 100`.

One process imports everything once; each attempt is a fork of it, which the parent kills (SIGKILL) after a random time.
At the end the versions, their weights, the numbers of all tests and the rows that are kept must be those of an
undisturbed run.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from automl.updating import batches
from automl.updating.follow import follow
from automl.updating.journal import Journal
from automl.updating.options import Options
from automl.updating.place import Place
from tests.support.updating import SPEC, flowers, trained


def files_in(folder: Path, count: int) -> Path:
    """A folder with files of rows that change more and more."""
    folder.mkdir()
    for k in range(count):
        flowers(120, 20 + k, bent=min(0.3 * (k + 1), 1.0), lily=k >= count // 2).to_csv(
            folder / f"{k:03d}.csv", index=False
        )
    return folder


def state(model: Path) -> dict[str, Any]:
    """All that counts: versions with their weights, updates with their numbers, kept rows; no times."""
    place = Place.of(model)
    content = Journal(place).content
    untimed = {"seconds", "cpu_s", "made"}
    return {
        "versions": [{k: v for k, v in one.items() if k not in untimed} for one in content["versions"]],
        "weights": [(place.version(one["version"]) / "model.safetensors").read_bytes() for one in content["versions"]],
        "updates": [
            {**one, "tries": [{k: v for k, v in tried.items() if k not in untimed} for tried in one["tries"]]}
            for one in content["updates"]
        ],
        "rows": {d: batches.read(place.rows(d)).key.sum() for d in content["batches"]},
        "answers": (model / "manifest.json").read_bytes(),
    }


def killed(attempt: Callable[[], object], kills: int, seed: int) -> int:
    """Attempt something again and again in other processes, which are killed so often before one may end.

    Args:
        attempt: what is attempted.
        kills: how often one is killed.
        seed: of the moments.

    Returns:
        How often that was.
    """
    rng, done, longest = random.Random(seed), 0, 1.0
    while True:
        begun, child = time.monotonic(), os.fork()
        if child == 0:
            attempt()
            os._exit(0)
        if done < kills:
            limit = begun + rng.uniform(0.0, longest)
            while time.monotonic() < limit and os.waitpid(child, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
            if time.monotonic() >= limit:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                done += 1
                continue
            longest = max(0.9 * longest, 0.05)  # it had ended: kill earlier
        elif os.waitpid(child, 0)[1] != 0:
            raise AssertionError("the last attempt failed")
        else:
            return done


def two_alike(home: Path) -> None:
    """The same model twice, in the folders `calm` and `disturbed`, trained on `old.csv`."""
    flowers(1500, 1).to_csv(home / "old.csv", index=False)
    for name in ("calm", "disturbed"):
        trained(home / name, home / "old.csv", SPEC)


def main() -> None:
    """Compare a run that is killed often with an undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--how", default="head")
    parser.add_argument("--keep-rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        two_alike(home)
        folder = files_in(home / "in", given.files)
        options = Options(how=given.how, lose=0.3, old=home / "old.csv", keep_rows=given.keep_rows)
        list(follow(home / "calm", folder, options, once=True))
        again = lambda: list(follow(home / "disturbed", folder, options, once=True))  # noqa: E731
        kills = killed(again, given.kills, given.seed)
        one, other = state(home / "calm"), state(home / "disturbed")
        different = [part for part in one if one[part] != other[part]]
        print(f"{kills} kills, {len(one['versions'])} versions, {len(one['updates'])} updates: "
              f"{'the same as undisturbed' if not different else f'different: {different}'}")  # fmt: skip
        sys.exit(bool(different))


if __name__ == "__main__":
    main()
