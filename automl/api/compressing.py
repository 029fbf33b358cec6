"""The public function `automl.compress`: a smaller and faster model made of a study's winner."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.compression.result import Compression


def compress(
    study: str | Path,
    *,
    at_most: Mapping[str, float | str] | str | None = None,
    lose: float | str | None = None,
    ways: Sequence[str] | None = None,
    epochs: int | None = None,
    trust: bool = False,
    say: Callable[[str], None] | None = None,
) -> "Compression":
    """Make the winner of a study smaller and faster, and measure what that costs.

    Variants are made of the winner's weights (units cut off, low rank, narrower students, ONNX networks in float32 and
    with whole numbers of 8 bits; of an ensemble fewer members, of trees fewer trees), each measured on this machine and
    compared with the winner on the same validation rows. One is chosen, evaluated once on the test set, saved in
    `STUDY/compressed/best`. Each finished variant is in the study's ledger: a run that was interrupted goes on, and
    another choice costs no new training.

    Args:
        study: the study's folder.
        at_most: limits of the network, as `{"bytes": "1MB", "latency_ms": 2}`: bytes, parameters, latency_ms (one row)
            and latency64_ms (64 rows).
        lose: how much of the score may be lost, in the metric's unit (0.005), or as a share of it ("1%"). A variant
            counts as losing no more only if the 95 % interval of the difference says so.
        ways: of "fewer", "prune", "rank", "student", "onnx" and "int8"; None: all that the winner allows.
        epochs: of training after a layer was cut; None: a quarter of the winner's, at least 2.
        trust: run the code that the specification names, also of a study begun on another machine.
        say: is called with lines about what happens.

    Returns:
        All variants with what was measured, the chosen one, and its test score; see `Compression`.

    Raises:
        SpecError: an argument is wrong, or the study was started from a Python function or a command.
        BundleError: the study has no winner.
        EnvironmentProblem: a package is missing; the extra `compress` has all of them.

    Example:
        >>> small = automl.compress("studies/digits", at_most={"bytes": "100KB"}, lose=0.01)
        >>> small.model().predict(rows)
    """
    from automl.api import from_ledger
    from automl.compression.options import options
    from automl.compression.run import run
    from automl.tasks.recipe import Recipe

    path = Path(study)
    search = from_ledger.prepare(path, None, trials=None, workers=0, accept_changes=False, trust=trust)
    try:
        if not isinstance(search.task, Recipe):
            raise SpecError(
                f"{path}: only models that automl trains itself can be compressed, and this study runs code"
            )
        asked = options(search.study.metric.name, at_most, lose, ways, epochs)
        return run(search.study, search.task, asked, say or (lambda text: None))
    finally:
        search.study.close()
