"""`automl.optimize`: Optuna's style; the conditional space is found, pruning works, a kill loses nothing."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.trial import State
from automl.errors import SearchFailed, SpecError
from automl.integrations.traces import FILE


def quadratic(trial: Any) -> float:
    x = trial.suggest_float("x", -10, 10)
    return float((x - 2) ** 2)


def branches(trial: Any) -> float:
    kind = trial.suggest_categorical("kind", ["svm", "forest"])
    if kind == "svm":
        return abs(math.log10(trial.suggest_float("c", 1e-5, 1e5, log=True)))
    depth = trial.suggest_int("depth", 2, 32, log=True)
    return depth / 10 + trial.suggest_float("share", 0.1, 1.0, step=0.1)


def layers(trial: Any) -> float:
    widths = [trial.suggest_int(f"width{k}", 4, 64) for k in range(trial.suggest_int("layers", 1, 3))]
    return sum(abs(w - 16) for w in widths) + len(widths)


def growing(trial: Any) -> float:
    low = trial.suggest_float("low", 0, 1)
    return low + trial.suggest_float("high", 1, 1 + trial.number)


def maximized(trial: Any) -> float:
    return -abs(trial.suggest_int("n", 1, 100) - 37)


def pruned(trial: Any) -> float:
    x = trial.suggest_float("x", 0, 1)
    for step in range(20):
        trial.report(x + 1 / (step + 1), step)
        if trial.should_prune():
            raise automl.TrialPruned
    return float(x)


def network(trial: Any) -> float:
    """Layers with a width and a dropout each, and an optimizer with settings of its own."""
    loss = 0.0
    for k in range(trial.suggest_int("n_layers", 1, 3)):
        loss += abs(trial.suggest_int(f"n_units_l{k}", 4, 128, log=True) - 32) / 128
        loss += trial.suggest_float(f"dropout_l{k}", 0.2, 0.5)
    optimizer = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
    loss += abs(math.log10(trial.suggest_float("lr", 1e-5, 1e-1, log=True)) + 3)
    return loss + (1 - trial.suggest_float("momentum", 0.0, 0.99) if optimizer == "SGD" else 0.5)


def boosting(trial: Any) -> float:
    """Two levels of conditions: the booster, and for one of them how it samples."""
    booster = trial.suggest_categorical("booster", ["gblinear", "dart"])
    loss = abs(math.log10(trial.suggest_float("lambda", 1e-8, 1.0, log=True)) + 4)
    if booster == "dart":
        loss -= trial.suggest_int("max_depth", 3, 9, step=2) / 10
        if trial.suggest_categorical("sample_type", ["uniform", "weighted"]) == "weighted":
            loss -= trial.suggest_float("rate_drop", 1e-3, 1.0, log=True)
    return loss


def flags(trial: Any) -> float:
    """Truth values, None and numbers as choices; notes; the same parameter asked for twice."""
    shuffle = trial.suggest_categorical("shuffle", [True, False])
    features = trial.suggest_categorical("features", [None, "sqrt", 0.5])
    trial.set_user_attr("shuffled", shuffle)
    assert trial.suggest_categorical("shuffle", [True, False]) == shuffle
    assert trial.params == {"shuffle": shuffle, "features": features}
    return float(shuffle) + (features is None) + trial.suggest_float("alpha", 0.0, 1.0, step=0.25)


def by_luck(trial: Any) -> float:
    x = trial.suggest_float("x", 0, 1)
    return float(x + (trial.suggest_float("extra", 0, 1) if trial.number % 3 == 0 else 0.0))


def test_a_plain_objective_is_minimized() -> None:
    study = automl.optimize(quadratic, trials=30)
    assert study.best is not None
    assert study.best.loss is not None
    assert study.best.loss < 0.1
    assert study.counts.done == 30


def test_the_branches_of_an_objective_become_conditions() -> None:
    study = automl.optimize(branches, trials=30)
    assert study.space.params["c"].when == {"kind": ("svm",)} or list(study.space.params["c"].when["kind"]) == ["svm"]
    assert list(study.space.params["depth"].when) == ["kind"]
    assert all(study.space.contains(t.config) for t in study.history.trials)
    assert {t.config["kind"] for t in study.history.trials} == {"svm", "forest"}
    assert study.best is not None
    assert study.best.config["kind"] == "svm"


def test_conditions_below_conditions_and_choices_of_all_kinds() -> None:
    study = automl.optimize(network, trials=30)
    assert list(study.space.params["momentum"].when["optimizer"]) == ["SGD"]
    assert sorted(study.space.params["dropout_l1"].when["n_layers"]) == [2, 3]
    study = automl.optimize(boosting, trials=40)
    assert list(study.space.params["rate_drop"].when["sample_type"]) == ["weighted"]
    assert list(study.space.params["sample_type"].when["booster"]) == ["dart"]
    study = automl.optimize(flags, trials=30)
    assert study.best is not None
    assert study.best.config == {"shuffle": False, "features": study.best.config["features"], "alpha": 0.0}
    assert all(study.space.contains(t.config) for t in study.history.trials)


def test_a_number_of_layers_is_a_condition_too() -> None:
    study = automl.optimize(layers, trials=40)
    for trial in study.history.trials:
        assert sum(name.startswith("width") for name in trial.config) == trial.config["layers"]
    assert sorted(study.space.params["width2"].when["layers"]) == [3]


def test_maximize_changing_ranges_and_what_cannot_be_modelled() -> None:
    best = automl.optimize(maximized, trials=30, direction="maximize").best
    assert best is not None
    assert abs(best.config["n"] - 37) <= 3  # type: ignore[operator]
    assert automl.optimize(growing, trials=12).space.params["high"].high == 12  # type: ignore[union-attr]
    study = automl.optimize(by_luck, trials=12)
    assert list(study.space.params) == ["x"]
    assert "extra" in " ".join(study.notes)


def test_pruning_stops_the_worse_ones_and_is_in_the_study() -> None:
    study = automl.optimize(pruned, trials=30, stopper="median")
    counts = study.counts
    assert counts.stopped > 3
    assert counts.done + counts.stopped == 30
    stopped = next(t for t in study.history.trials if t.state is State.STOPPED)
    assert 0 < stopped.step < 20
    assert stopped.reason


def test_the_older_names_of_suggestions_are_understood() -> None:
    def objective(trial: Any) -> float:
        return float(
            trial.suggest_uniform("a", 0, 1) + trial.suggest_loguniform("b", 0.01, 1)
            + trial.suggest_discrete_uniform("c", 0, 1, 0.25)
        )  # fmt: skip

    study = automl.optimize(objective, trials=6)
    kinds = {"a": automl.Float(0, 1), "b": automl.Float(0.01, 1, log=True), "c": automl.Float(0, 1, step=0.25)}
    assert study.space.params == kinds
    assert study.best is not None
    assert study.best_value == study.best.loss


def test_failures_are_kept_and_only_failures_end_it() -> None:
    def sometimes(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        if x > 0.5:
            raise ValueError("too large")
        return float(x)

    study = automl.optimize(sometimes, trials=15)
    assert 0 < study.counts.failed < 15

    def never(trial: Any) -> float:
        raise ValueError("never works")

    with pytest.raises(SearchFailed, match="never works"):
        automl.optimize(never, trials=10)
    with pytest.raises(SearchFailed, match="the objective returned nothing; end it with `return value`"):
        automl.optimize(lambda trial: None, trials=10)  # type: ignore[arg-type, return-value]
    with pytest.raises(SpecError):
        automl.optimize(quadratic, trials=0)
    with pytest.raises(SpecError, match="several values"):
        automl.optimize(lambda trial: (1.0, 2.0), trials=3)  # type: ignore[arg-type, return-value]


def test_the_same_seed_gives_the_same_trials_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    whole = automl.optimize(branches, trials=14, seed=3)

    class Killed(BaseException):
        pass

    def dies(trial: Any) -> float:
        if trial.number == 9:
            raise Killed
        return branches(trial)

    with pytest.raises(Killed):
        automl.optimize(dies, trials=14, seed=3, path=tmp_path / "s")
    with (tmp_path / "s" / FILE).open("a") as file:
        file.write('{"number": 9, "par')  # torn by the kill
    study = automl.optimize(branches, trials=14, seed=3, path=tmp_path / "s")
    assert [t.config for t in study.history.trials] == [t.config for t in whole.history.trials]
    assert automl.Study.open(tmp_path / "s").counts.done == 14
    assert len(automl.optimize(branches, trials=16, seed=3, path=tmp_path / "s").history) == 16
    assert [json.loads(line)["number"] for line in (tmp_path / "s" / FILE).read_text().splitlines()] == list(range(16))


def test_the_same_objective_runs_in_optuna() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for objective in (quadratic, branches, layers, growing, network, boosting, flags):
        optuna.create_study().optimize(objective, n_trials=3)
