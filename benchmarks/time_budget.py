"""A search whose only budget is time, on a table of many rows: python benchmarks/time_budget.py [rows] [seconds]

Makes a table of 200,000 rows and searches it for a minute, with one worker. Prints how long the command took, its exit
code, and what won. Call it under `taskset -c 0` to give it one core. It fails where the command took ten seconds
longer than its budget, or ended without a winner.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COMMAND = "from automl.cli import main; raise SystemExit(main())"
LATE_S = 10.0
SPEC = """
model: mlp
data: table.csv
target: label
metric: val_log_loss
epochs: 30
budget: {{time: {seconds}s}}
space:
  lr: {{float: [1e-4, 1e-1], log: true}}
  width: {{int: [16, 128], log: true}}
"""


def make(folder: Path, rows: int, seconds: int) -> None:
    """Write the table and its spec into `folder`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20))
    label = (x @ rng.normal(size=20) + rng.normal(size=rows) > 0).astype(float)
    names = ",".join([*(f"x{k}" for k in range(20)), "label"])
    np.savetxt(folder / "table.csv", np.column_stack([x, label]), fmt="%.5g", delimiter=",", header=names, comments="")
    (folder / "space.yaml").write_text(SPEC.format(seconds=seconds))


def run(folder: Path) -> tuple[float, int, str]:
    """Search in `folder`; returns the seconds it took, its exit code, and what it printed."""
    begun = time.monotonic()
    command = [sys.executable, "-c", COMMAND, "search", "space.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return time.monotonic() - begun, done.returncode, done.stderr + done.stdout


def main(rows: int = 200_000, seconds: int = 60) -> int:
    """Make, search, print. Returns the exit code."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, rows, seconds)
        took_s, code, printed = run(folder)
        file = folder / "studies" / "space" / "best" / "winner.json"
        winner = json.loads(file.read_bytes()) if file.exists() else None
        model = (file.parent / "manifest.json").exists()
    print(printed)
    won = f"trial {winner['trial']}, {winner['metric']} {winner['value']:.4f}" if winner else "nobody"
    print(f"{rows} rows, {seconds} s: {took_s:.1f} s, exit code {code}, winner {won}, its model is there: {model}")
    return 0 if code == 0 and winner and model and took_s < seconds + LATE_S else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
