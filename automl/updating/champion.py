"""The model that is updated, with all that is known of it: its bundle, its specification, its data."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.bundle import files as bundle_files
from automl.bundle.ensemble import Ensemble
from automl.bundle.io import load_model
from automl.bundle.loading import load
from automl.core.trial import Metric
from automl.core.user_code import import_object
from automl.data import further
from automl.data.further import Labelled
from automl.data.preparing import dropping, options, transform
from automl.data.reading import sources
from automl.data.rows import columns_kept_out, select
from automl.errors import BundleError, DataError, SpecError
from automl.models import adjusting, families
from automl.study import paths
from automl.study.ledger.ledger import Ledger
from automl.updating.place import Place

if TYPE_CHECKING:
    from torch import nn

    from automl.bundle.model import Model
    from automl.models import Build

OLD = "search"
"""The digest under which the rows of the search are kept."""


@dataclass(frozen=True)
class Champion:
    """The model that is updated (the champion), its specification and where its versions are.

    Attributes:
        place: the folder of its versions.
        model: the champion.
        spec: the specification of its search, JSON-able; {} where it is not known.
        base: the folder that paths of the specification start from.
        build: builds the network, where it is not of a built-in family.
        until: the epoch that a training from scratch ends with; None: the last one.
        pack: the winning ensemble, which answers instead of its best model; None: there is none.
    """

    place: Place
    model: "Model"
    spec: dict[str, Any]
    base: Path
    build: "Build | None"
    until: int | None = None
    pack: Ensemble | None = None

    @property
    def answers(self) -> "Model | Ensemble":
        """What answers now: the model, or the pack that has won the search; challengers are made from the model."""
        return self.pack or self.model

    @property
    def network(self) -> "nn.Module":
        """The model's network without what adjusts its logits."""
        module = self.model.module
        return module.inner if isinstance(module, adjusting.Adjusted) else module

    @property
    def metric(self) -> str:
        """The metric that versions are compared by, without `val_`."""
        described = self.spec.get("metric")
        if described is None:
            return "accuracy" if self.model.kind == "classification" else "rmse"
        name = Metric.of(described).name
        return name.partition("_")[2] if name.startswith(("val_", "train_")) else name

    @property
    def prepare(self) -> dict[str, Any]:
        """The options of `prepare:`, with those that the search has chosen for this model."""
        return {**dict(self.spec.get("prepare") or {}), **options.chosen(self.model.config)}

    @property
    def config(self) -> dict[str, Any]:
        """The model's hyperparameters."""
        return dict(self.model.config)


def open_champion(place: Place, *, trust: bool = False, base: Path | None = None) -> Champion:
    """The champion, ready to be updated.

    Args:
        place: of the model.
        trust: import the code of the user's own that the model, or its data, name.
        base: the folder that paths of its specification start from; None: as the study knows it.

    Raises:
        BundleError: it is no model that can be updated, or needs code that is not trusted.
    """
    manifest = bundle_files.read_json(place.bundle / bundle_files.MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != bundle_files.FORMAT:
        what = manifest.get("format") if isinstance(manifest, dict) else "?"
        from_what = "update the model that it was made from"
        raise BundleError(f"{place.bundle}: a saved model of the kind {what!r} cannot be updated; {from_what}")
    folder, until = _of_study(place.study) if place.study is not None else (Path(), None)
    folder = base or folder
    name, build = str(manifest.get("model", "")), None
    if ":" in name and name not in families():
        if not trust:
            raise BundleError(f"the model is {name!r}, code outside of the bundle: --trust imports it from {folder}")
        build = import_object(name, folder)
    model = load_model(place.bundle, build=build)
    if model.kind == "next_token":
        raise BundleError(f"{place.bundle}: a language model learns from whole texts; it cannot be updated with rows")
    if model.targets or model.kind.variant:
        of = model.kind.words if model.kind.variant else "several targets"
        raise BundleError(f"{place.bundle}: a model of {of} cannot be updated with rows; search again")
    spec = model.manifest.get("spec")
    pack = None
    if place.study is not None and bundle_files.find(place.study) != place.bundle:
        answers = load(place.study, build=build)
        pack = answers if isinstance(answers, Ensemble) else None
    return Champion(place, model, dict(spec) if isinstance(spec, Mapping) else {}, folder, build, until, pack)


def _of_study(study: Path) -> tuple[Path, int | None]:
    """(the folder of its specification, the best epoch of the winner where that one counted)."""
    from automl.study.study import Study

    with closing(Ledger.read_only(study)) as ledger:
        kept = ledger.facts().get("spec")
    folder = paths.project(study, kept)[0] if kept else Path()
    view = Study.open(study)
    winner = view.winner
    if winner is None or view.metric.count != "best" or not winner.curve:
        return folder, None
    return folder, min(winner.curve, key=lambda point: (point[1], point[0]))[0]


def old_rows(champion: Champion, old: Any = None, *, trust: bool = False) -> tuple[Labelled, NDArray[np.bool_]]:
    """The rows of the search: those it has trained on, and those it has compared by, which are held out.

    Rows of the test set stay unseen. Of a search on folds, which has trained on all others, the last fold's rows are
    held out.

    Args:
        champion: the model.
        old: rows that take their place, as `further.read` takes them; a quarter, drawn at random, is held out.
        trust: call the function that the data come from.

    Returns:
        (the rows, [N] whether a row is held out).

    Raises:
        DataError: the data are not there any more.
    """
    if old is not None:
        found = further.read(old, champion.model.preparation, champion.spec)
        drawn = np.random.default_rng(0).random(len(found)) < 0.25
        return found, drawn
    data = champion.spec.get("data")
    if not data:
        raise DataError("the rows that this model was trained on are not known; give them: --old FILE")
    if ":" in data and not (champion.base / data).exists() and not trust:
        raise SpecError(f"the old rows come from the function {data!r}: --trust calls it, or give rows: --old FILE")
    if champion.model.preparation["form"] == "series":
        return _old_windows(champion, data)
    return _old_samples(champion, data)


def _old_samples(champion: Champion, data: str) -> tuple[Labelled, NDArray[np.bool_]]:
    settings, rules = dict(champion.spec.get("prepare") or {}), dict(champion.spec.get("split") or {})
    kept_out = columns_kept_out(settings, rules)
    try:
        raw = sources.read(data, champion.spec.get("target"), champion.base, kept_out, settings)
    except DataError as error:
        raise DataError(f"the rows of the search cannot be read ({error}); give them: --old FILE") from error
    if isinstance(raw.x, pd.DataFrame):
        raw.x = dropping.without(raw.x, settings, raw.target, kept_out)
    selection = select(raw, rules, settings, int(champion.spec.get("seed", 0)))
    use = selection.parts != 2
    y: NDArray[Any] = selection.y
    if selection.target.kind == "classification":
        classes = np.empty(len(selection.target.classes), dtype=object)
        classes[:] = selection.target.classes
        y = classes[selection.y]
    weight = None
    if settings.get("weight"):
        weight = pd.to_numeric(pd.Series(raw.extra[str(settings["weight"])])).to_numpy(dtype=np.float64)
    rows = selection.raw.x
    if champion.model.preparation["form"] == "text":
        rows = np.asarray(rows, dtype=object)
    held = np.asarray(selection.parts[use] == 1)
    if (folds := selection.folds) is not None:  # all rows were learned from; one fold's stand for the others
        held = (folds.home == folds.count - 1).numpy()
    return Labelled(rows, y, weight).take(use), held


def _old_windows(champion: Champion, data: str) -> tuple[Labelled, NDArray[np.bool_]]:
    from automl.data import load as load_data

    spec = champion.spec
    loaded = load_data(data, target=spec.get("target"), split=spec.get("split"), seed=int(spec.get("seed", 0)),
                  prepare=champion.prepare, base=champion.base)  # fmt: skip
    both = loaded.train + loaded.val
    center, scale = loaded.target_center.double().numpy(), loaded.target_scale.double().numpy()
    y = both.y.double().numpy() * scale + center
    held = np.arange(len(both)) >= len(loaded.train)
    return Labelled(both.x.numpy(), y), held


def split_new(found: Labelled, share: float) -> NDArray[np.bool_]:
    """[N] whether a new row is held out: the latest ones, by time where there is one, else in order of arrival.

    Where rows belong to groups, whole groups are held out: those that came last.
    """
    count = len(found)
    most = max(1, round(count * share))
    if found.group is not None:
        codes = pd.factorize(found.group)[0]
        last = np.searchsorted(np.cumsum(np.bincount(codes)[::-1]), most) + 1
        return np.asarray(codes >= codes.max() + 1 - min(last, codes.max()))
    order = np.arange(count) if found.order is None else np.argsort(np.argsort(found.order, kind="stable"))
    return np.asarray(order >= count - most)


def new_classes(classes: Sequence[Any], y: NDArray[Any]) -> list[Any]:
    """Labels that the model does not know, in order of arrival."""
    return [label for label in dict.fromkeys(y.tolist()) if label not in set(classes)]


def unknown_values(champion: Champion, found: Labelled) -> list[str]:
    """Sentences about cells that the model cannot read, or has not seen in training."""
    unread: list[str] = []
    if champion.model.preparation["form"] in ("table", "text"):
        rows = list(found.rows) if champion.model.preparation["form"] == "text" else found.rows
        transform.transform(champion.model.preparation, rows, unread)
    return unread
