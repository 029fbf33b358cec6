"""How many of our functions a reader must go through, from `automl.search` to the user's code.

Measured on the stack at the moment when user code runs, with the executor in this process: frames of files in `automl/`
and `strategies/` count, frames of the standard library do not.
"""

import traceback
from dataclasses import dataclass
from pathlib import Path

import automl
from automl.core.history import History
from automl.core.stopper import CONTINUE, Stopper, Verdict
from tests.support.paths import ROOT

MOST = 6
SPACE = {"x": automl.Float(0, 1)}
OURS = (ROOT / "automl", ROOT / "strategies")


def our_frames() -> list[str]:
    """`file.py:function` of our frames on the stack, the outermost one first."""
    stack = traceback.extract_stack()
    return [
        f"{Path(frame.filename).name}:{frame.name}"
        for frame in stack
        if any(folder in Path(frame.filename).parents for folder in OURS)
    ]


@dataclass(frozen=True)
class Watcher(Stopper):
    """Keeps the stack on which it is asked."""

    seen: tuple[list[str], ...]

    def verdict(self, history: History, trial: int) -> Verdict:
        self.seen[0].extend(our_frames())
        return CONTINUE


def stacks(tmp_path: Path, *, deterministic: bool = False) -> tuple[list[str], list[str]]:
    """The stacks in the training function, and in the stopper that judges its first report."""
    trained, judged = tmp_path / "stack", Watcher(([],))
    tmp_path.mkdir(exist_ok=True)

    def train(trial: automl.Trial) -> None:
        trained.write_text("\n".join(our_frames()))
        for _ in trial.steps(2):
            trial.report(loss=1.0)

    automl.search(
        train, space=SPACE, metric="loss", trials=1, executor="inline", strategy="random", stopper=judged,
        path=tmp_path / "s", deterministic=deterministic, finalists=None,
    )  # fmt: skip
    return trained.read_text().splitlines(), judged.seen[0]


def test_few_frames_from_search_to_the_training_function(tmp_path: Path) -> None:
    frames, _ = stacks(tmp_path)
    assert frames[0] == "doors.py:search"
    assert len(frames) <= MOST, frames


def test_few_frames_from_a_report_to_the_stopper(tmp_path: Path) -> None:
    for deterministic in (False, True):
        _, frames = stacks(tmp_path / str(deterministic), deterministic=deterministic)
        below = frames[frames.index("trial.py:report") :]
        assert len(below) <= MOST, below


def test_few_frames_from_a_spec_to_the_training_function(tmp_path: Path) -> None:
    (tmp_path / "hops_for_test.py").write_text(
        "from pathlib import Path\nfrom tests.laws.test_hops import our_frames\n\n"
        "def train(trial):\n"
        "    Path(__file__).with_name('stack').write_text('\\n'.join(our_frames()))\n"
        "    trial.report(loss=1.0)\n"
    )
    (tmp_path / "space.yaml").write_text(
        "train: hops_for_test:train\nmetric: loss\nspace: {x: {float: [0, 1]}}\nstrategy: random\n"
        "budget: {trials: 1}\nfinalists: none\n"
    )
    automl.search(tmp_path / "space.yaml", dir=tmp_path, executor="inline")
    frames = (tmp_path / "stack").read_text().splitlines()
    assert frames[0] == "doors.py:search"
    assert len(frames) <= MOST, frames
