"""Makes docs/failures.md from the marks of the tests in this folder: python -m tests.failures.table"""

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
FILE = HERE.parent.parent / "docs" / "failures.md"
Row = tuple[int, str, str, int | None, str]
HEAD = """# What happens when something fails

Made by `python -m tests.failures.table` from the tests named in the last column; do not edit. A test checks that it
is up to date. *Exit code* is that of `automl search` and `automl resume`; where there is none, the search goes on.

Failures of the machine (a killed worker, a lost device, a hang) are retried, once by default (`retries`), from the
trial's last checkpoint. Mistakes in the training code are not. Every failed trial keeps kind, message, traceback or
log, step, config, attempt and worker: `automl show STUDY TRIAL`.

| # | case | what happens | exit code | test |
|--:|------|--------------|:---------:|------|
"""


def rows(folder: Path = HERE.parent) -> Iterator[Row]:
    """All marks below `folder`, read without running anything."""
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.catalogue":
                        number, case, happens, code = (ast.literal_eval(argument) for argument in mark.args)
                        yield number, case, happens, code, f"{file.relative_to(folder)}::{node.name}"


def table() -> str:
    lines = [
        f"| {number} | {case} | {happens} | {'' if code is None else code} | `{test}` |"
        for number, case, happens, code, test in sorted(rows(), key=lambda row: (row[0], row[4]))
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(table())
