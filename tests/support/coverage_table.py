"""Branch coverage per folder from `.coverage`: `python -m tests.support.coverage_table`; exit code 1 if it is low."""

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from coverage import Coverage

from tests.support.paths import ROOT

# Folders that keep what a search has found. Percent of lines and branches that tests must run.
REQUIRED = {"automl/study": 95.0, "automl/driver": 95.0}
COUNTS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def measured() -> dict[str, Any]:
    """Coverage's own report of each file, by path from the root."""
    coverage = Coverage(data_file=str(ROOT / ".coverage"), config_file=str(ROOT / "pyproject.toml"))
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        coverage.json_report(outfile=str(Path(folder) / "report.json"))
        files: dict[str, Any] = json.loads((Path(folder) / "report.json").read_text())["files"]
    return files


def folder_of(path: str) -> str:
    """The folder whose row a file counts in: two levels at most."""
    return "/".join(Path(path).parent.parts[:2])


def percent(counts: dict[str, int]) -> float:
    """Of lines and branches together."""
    total = counts["num_statements"] + counts["num_branches"]
    return 100 * (counts["covered_lines"] + counts["covered_branches"]) / total if total else 100.0


def main() -> int:
    """Print the table, and what is not run of the required folders; 1 if one of these has less than it must."""
    files = measured()
    folders: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for path, report in files.items():
        for name in COUNTS:
            folders[folder_of(path)][name] += report["summary"][name]
    print(f"\n{'folder':<36}{'lines':>8}{'branches':>10}{'covered':>10}")
    for folder, counts in sorted(folders.items()):
        print(f"{folder:<36}{counts['num_statements']:>8}{counts['num_branches']:>10}{percent(counts):>8.1f} %")
    print(f"\nNot run in {' and '.join(REQUIRED)} (lines, and branches as from->to):")
    for path, report in files.items():
        branches = [f"{a}->{b}" for a, b in report["missing_branches"]]
        if folder_of(path) in REQUIRED and (report["missing_lines"] or branches):
            print(f"  {path}: {' '.join(map(str, report['missing_lines'] + branches))}")
    low = [name for name, least in REQUIRED.items() if percent(folders[name]) < least]
    for name in low:
        print(f"{name}: {percent(folders[name]):.1f} % where at least {REQUIRED[name]:.0f} % are required")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
