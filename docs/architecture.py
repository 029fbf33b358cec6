"""Draws the picture of the layers and writes the way of one trial into architecture.md, both from the code.

python docs/architecture.py          # writes architecture.svg and the lower part of architecture.md
"""

import ast
import html
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import automl
from automl.core.history import History
from automl.core.stopper import CONTINUE, Stopper, Verdict

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = ROOT / "automl"
PICTURE, PAGE = DOCS / "architecture.svg", DOCS / "architecture.md"
MARK = "<!-- below this line: written by docs/architecture.py -->"
BOX_W, BOX_H, GAP_X, GAP_Y, MARGIN = 214, 74, 18, 40, 16  # pixels
CELLS = 30  # characters of a line inside a box


def folders() -> dict[str, str]:
    """{folder of automl/: the first sentence of its docstring}."""
    found = {}
    for file in sorted(PACKAGE.glob("*/__init__.py")):
        doc = ast.get_docstring(ast.parse(file.read_text())) or ""
        found[file.parent.name] = doc.partition("\n\n")[0].replace("\n", " ").replace("`", "")
    return found


def imported(file: Path) -> Iterator[str]:
    """The folders of automl/ that a file imports from, lazy and type-only imports included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = node.module.split(".")
            if parts[0] == "automl":
                yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


def arrows(names: dict[str, str]) -> dict[str, set[str]]:
    """{folder: the folders it imports from}."""
    return {
        name: {
            target
            for file in (PACKAGE / name).rglob("*.py")
            for target in imported(file)
            if target in names and target != name
        }
        for name in names
    }


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """{folder: level}, 0 for what imports no other folder; each folder lies above all that it imports."""
    known: dict[str, int] = {}

    def level(name: str, path: tuple[str, ...] = ()) -> int:
        if name in path:
            raise ValueError(f"folders import each other in a circle: {' -> '.join((*path, name))}")
        if name not in known:
            known[name] = 1 + max((level(below, (*path, name)) for below in graph[name]), default=-1)
        return known[name]

    for name in graph:
        level(name)
    return known


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from others: without them nobody could see the picture."""

    def reach(name: str) -> set[str]:
        return set().union(*({below} | reach(below) for below in graph[name])) if graph[name] else set()

    return {
        name: {below for below in targets if not any(below in reach(other) for other in targets - {below})}
        for name, targets in graph.items()
    }


def picture() -> str:
    """The layers as SVG: a folder stands above all that it imports from; only the arrows that are needed are drawn."""
    names = folders()
    graph = arrows(names)
    level = levels(graph)
    rows = [[n for n in names if level[n] == k] for k in range(max(level.values()) + 1)]
    width = 2 * MARGIN + max(len(r) for r in rows) * (BOX_W + GAP_X) - GAP_X
    height = 2 * MARGIN + len(rows) * (BOX_H + GAP_Y) - GAP_Y
    at = {}
    for k, row in enumerate(rows):
        left = (width - len(row) * (BOX_W + GAP_X) + GAP_X) / 2
        for j, name in enumerate(row):
            at[name] = (left + j * (BOX_W + GAP_X), MARGIN + (len(rows) - 1 - k) * (BOX_H + GAP_Y))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        'font-family="sans-serif" role="img" aria-label="The folders of automl in the order of their imports">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for name, targets in sorted(reduced(graph).items()):
        x, y = at[name]
        for target in sorted(targets):
            tx, ty = at[target]
            out.append(
                f'<path d="M{x + BOX_W / 2:.0f},{y + BOX_H:.0f} C{x + BOX_W / 2:.0f},{y + BOX_H + 24:.0f} '
                f'{tx + BOX_W / 2:.0f},{ty - 24:.0f} {tx + BOX_W / 2:.0f},{ty:.0f}" fill="none" stroke="#9aa7b8"/>'
            )
    for name, doc in names.items():
        x, y = at[name]
        out.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_W}" height="{BOX_H}" rx="6" fill="#eef3f9" stroke="#5b7699"/>'
        )
        out.append(f'<text x="{x + 10:.0f}" y="{y + 19:.0f}" font-size="14" font-weight="bold">{name}</text>')
        lines = textwrap.wrap(doc.partition(". ")[0].rstrip("."), CELLS)
        lines = [*lines[:2], lines[2] + " …"] if len(lines) > 3 else lines
        for k, line in enumerate(lines):
            out.append(f'<text x="{x + 10:.0f}" y="{y + 35 + 14 * k:.0f}" font-size="11">{html.escape(line)}</text>')
    return "\n".join([*out, "</svg>", ""])


class Watching(Stopper):
    """Stops nothing and keeps the stack it was called from."""

    stack: ClassVar[list[str]] = []

    def verdict(self, history: History, trial: int) -> Verdict:
        if not self.stack:
            frames = own_frames()
            self.stack += frames[max(k for k, name in enumerate(frames) if name.endswith(": report")) :]
        return CONTINUE


def own_frames() -> list[str]:
    """`file: function` of every frame of the package on the stack, outermost first."""
    frames = [(Path(f.filename), f.name) for f in traceback.extract_stack()]
    return [f"{file.relative_to(ROOT)}: {name}" for file, name in frames if PACKAGE in file.parents]


def train(trial: automl.Trial) -> None:
    """A training function that writes down the stack it was called from."""
    assert trial.folder is not None
    trial.folder.mkdir(parents=True, exist_ok=True)
    (trial.folder / "stack.txt").write_text("\n".join(own_frames()))
    for _ in trial.steps(2):
        trial.report(loss=trial["x"])


LANES = """
model: mlp
data: digits
metric: val_loss
epochs: 1
space: {width: 8, lr: {float: [1e-3, 1e-2], log: true}, batch_size: 256}
stopper: none
strategy: random
budget: {trials: 2}
finalists: none
fuse: require
"""


def to_a_step() -> list[str]:
    """Our frames between `automl.search` and an optimizer step of trials that train together."""
    from automl.fused.optim import update

    seen: list[list[str]] = []
    parts: list[Any] = [update.RowKernel, update.RowRule, update.LeafKernel]
    calls = [part.__call__ for part in parts]

    def watched(call: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
        def step(self: Any, s: int) -> None:
            if not seen:
                seen.append([f for f in own_frames() if f.startswith("automl/")])
            call(self, s)

        return step

    try:
        for part, call in zip(parts, calls, strict=True):
            part.__call__ = watched(call)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "space.yaml").write_text(LANES)
            automl.search(Path(folder) / "space.yaml", path=Path(folder) / "s", executor="inline", workers=1)
    finally:
        for part, call in zip(parts, calls, strict=True):
            part.__call__ = call
    return [*seen[0], "automl/fused/optim/update.py: __call__"]


def ways() -> dict[str, list[str]]:
    """Our frames from `automl.search` to the training function, from a report to the stopper, and to a step."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        automl.search(
            train, space={"x": automl.Float(0, 1)}, metric="loss", trials=2, stopper=Watching(), strategy="random",
            executor="inline", finalists=None, path=study,
        )  # fmt: skip
        stack = (study / "trials" / "00000" / "stack.txt").read_text().splitlines()
    return {
        "from `automl.search` to your training function": stack,
        "from `trial.report` to the stopper's verdict": Watching.stack,
        "from `automl.search` to an optimizer step of a described model": to_a_step(),
    }


def page() -> str:
    """The whole page: what was written by hand, then what follows from the code."""
    hand = PAGE.read_text().partition(MARK)[0]
    lines = [
        MARK,
        "",
        "![The layers](architecture.svg)",
        "",
        "| folder | what lives there | imports from |",
        "|---|---|---|",
    ]
    names = folders()
    graph = arrows(names)
    level = levels(graph)
    for name in sorted(names, key=lambda n: (-level[n], n)):
        below = ", ".join(sorted(graph[name], key=lambda n: (-level[n], n))) or "nothing"
        lines.append(f"| `{name}` | {names[name]} | {below} |")
    for title, frames in ways().items():
        lines += ["", f"## The way {title}", "", "Function calls of this project, as a running search has them:", ""]
        lines += [f"{k}. `{frame}`" for k, frame in enumerate(frames, 1)]
    return hand + "\n".join(lines) + "\n"


def main() -> None:
    PICTURE.write_text(picture())
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
