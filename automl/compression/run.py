"""Compresses the winner of a study: search, choice, one evaluation on the test set, and the saved model."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from automl.adapting.threads import one_thread
from automl.bundle import files
from automl.bundle.ensemble import Ensemble
from automl.bundle.loading import load
from automl.compression import choosing, judging
from automl.compression.joint.search import JointSearch
from automl.compression.options import CompressOptions
from automl.compression.record import CompressionRecord
from automl.compression.result import Compression
from automl.compression.search import CompressionSearch
from automl.compression.subject import Original, Subject
from automl.compression.ways.quantizing import has_vnni
from automl.compression.ways.tree_pruning import trees_of
from automl.core import seeds
from automl.driver.screen import NullScreen
from automl.errors import BundleError
from automl.models.combined.bagged import FOLDS
from automl.study import paths
from automl.study.study import Study
from automl.tasks.recipe import Recipe


@dataclass
class _Said(NullScreen):
    """A screen that passes notes on."""

    say: Callable[[str], None]

    def note(self, text: str) -> None:
        self.say(text)


def run(study: Study, recipe: Recipe, options: CompressOptions, say: Callable[[str], None]) -> Compression:
    """Compress the winner of a study; what an earlier run has finished is not made again.

    Args:
        study: open for writing; its winner is in `best/`.
        recipe: what it trains.
        options: what is asked.
        say: called with each progress message.

    Raises:
        BundleError: the study has no winner, or one without weights, such as trees.
        EnvironmentProblem: a package that a way needs is not installed.
    """
    assert study.path is not None
    best = study.path / paths.BEST
    if not (best / files.MANIFEST).is_file():
        raise BundleError(f"{study.path} has no winner yet (no {paths.BEST}/{files.MANIFEST}): search first")
    winner = files.find(study.path)
    with one_thread("cpu"):  # so that latencies can be compared
        original = Original.of(replace(recipe, refit=False), winner, seeds.derive(study.history.seed, "compression"))
        of = {"model": files.sha256(winner / files.MANIFEST), "metric": original.holdout.name, "epochs": options.epochs}
        record = CompressionRecord(study, of)
        variants = _search(original, record, options, say).run()
        choice = choosing.choose(variants, options)
        record.choose(choice.chosen.name if choice.chosen else None, _asked(options))
        test, path = None, None
        if choice.chosen is not None:
            test = judging.judge(original, study, record, choice.chosen.name, _Said(say))
            path = judging.publish(record, choice.chosen.name, test)
    return Compression(path, recipe.metric.name, variants, choice, test, has_vnni())


def _search(
    original: Original, record: CompressionRecord, options: CompressOptions, say: Callable[[str], None]
) -> "CompressionSearch | JointSearch":
    """For a single network its layers are made smaller; for what answers together, and trees, it is done otherwise."""
    model = load(original.bundle, build=original.build)
    if isinstance(model, Ensemble) or FOLDS in model.config or trees_of(model.module) is not None:
        return JointSearch(original, record, options, say)
    return CompressionSearch(Subject.of(original, model), record, options, say)


def _asked(options: CompressOptions) -> dict[str, object]:
    asked: dict[str, object] = asdict(options)
    ways: Sequence[str] = options.ways
    return asked | {"at_most": dict(options.at_most), "ways": list(ways)}
