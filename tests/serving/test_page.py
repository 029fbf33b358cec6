"""The live page's own script, run on the answers of a server: what it shows, and what its form sends."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S
from tests.support.serving import ask, flowers, service

SCRIPT = ROOT / "automl" / "serving" / "watching" / "page" / "page.js"
PATHS = ("/v1/status", "/v1/models", "/v1/models/flowers")
Bundles = dict[str, Path]


@pytest.fixture(scope="module")
def shown(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("node") is None:
        pytest.skip("node is not there")
    home = tmp_path_factory.mktemp("page")
    made = service(home / "state", ("flowers", bundles["flowers"]), window=100)

    async def talk(client: httpx.AsyncClient) -> dict[str, Any]:
        rows = json.loads(flowers(150, shift=6.0).drop(columns="kind").to_json(orient="records"))
        answer = (await client.post("/v1/predict", json=rows)).json()
        truth = {"request_id": answer["request_id"], "answers": ["iris"] * 150}
        await client.post("/v1/feedback", json=truth)
        await client.post("/v1/predict", json=[])
        known = {path: (await client.get(path)).json() for path in PATHS}
        return {**known, "/v1/predict": {"predictions": ["iris"]}}

    answers = home / "answers.json"
    answers.write_text(json.dumps(ask(made, talk)))
    command = ["node", str(Path(__file__).with_name("page_in_node.js")), str(SCRIPT), str(answers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_it_shows_the_state(shown: dict[str, Any]) -> None:
    texts = shown["texts"]
    assert "1 worker(s)" in texts["server"]
    assert "flowers v1 (current)" in texts["models"]
    assert "150 rows predicted; drift in 1 of 1 windows" in texts["models"]
    assert "On feedback: accuracy" in texts["models"]
    assert "changed" in texts["models"]
    assert "p99 ms" in texts["totals"]
    assert shown["bars"] == 60


def test_its_form_asks_for_a_row_with_the_columns_that_are_used(shown: dict[str, Any]) -> None:
    assert shown["fields"] == 4
    sent = next(one["body"] for one in shown["asked"] if one["path"] == "/v1/predict")
    assert sent["proba"] is True
    (row,) = sent["rows"]
    assert list(row) == ["size", "age", "colour", "day"]
    assert isinstance(row["size"], float)
    assert json.loads(shown["texts"]["answer"]) == {"predictions": ["iris"]}
