"""A server that follows a model's folder answers with the version that an update, or a rollback, has put there."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from automl.serving.models.registry import Registry
from automl.serving.server import Lookout, Source, adopt
from automl.serving.settings import Settings
from automl.updating.journal import Journal
from automl.updating.options import Options
from automl.updating.place import Place
from automl.updating.update import update
from automl.updating.versions import roll_back
from tests.support.updating import flowers


def test_the_running_server_takes_the_new_version_and_the_old_one_after_a_rollback(
    model: Path, new: Callable[..., Path], tmp_path: Path
) -> None:
    settings = Settings(str(tmp_path / "serving"))
    sources = [Source("flowers", None, model)]
    store, lookout = adopt(settings, sources), Lookout(adopt(settings, sources), sources)
    registry = Registry(settings)
    registry.refresh()
    later = flowers(300, 9, bent=0.5)

    def answers() -> tuple[str, float]:
        lookout.look()
        registry.refresh()
        served = registry.find("flowers", None, "a")
        return served.version, float((pd.Series(served.model.predict(later)) == later.kind).mean())

    assert answers()[0] == "v1"
    before = answers()[1]
    update(model, new(), Options(how="head", old=tmp_path / "old.csv", lose=0.02))
    version, after = answers()
    assert version == "v2"
    assert after > before + 0.1
    roll_back(Place.of(model), Journal(Place.of(model)), 1)
    assert answers() == ("v1", before)
    assert store.traffic()["flowers"]["former"] == ["v1", "v2"]
