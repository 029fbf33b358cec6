"""Models of every kind and of earlier versions are served with the answers that they give themselves."""

import contextlib
import json
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import automl
from automl.bundle import ensemble
from automl.bundle.loading import load
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S
from tests.support.serving import ask, flowers, saved, service

Bundles = dict[str, Path]


def answered(state: Path, bundle: Path, body: Any, path: str = "/v1/predict") -> Any:
    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(path, json=body)

    got: httpx.Response = ask(service(state, ("m", bundle)), talk)
    assert got.status_code == 200, got.text
    return got.json()


@pytest.mark.filterwarnings("ignore")
def test_models_of_version_0_1_are_served(tmp_path: Path) -> None:
    with tarfile.open(ROOT / "tests" / "compat" / "studies_0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    for name in ("done", "killed"):
        bundle = tmp_path / "studies" / name / "best"
        model = load(bundle)
        rows = model.sample
        expected = model.predict(rows).tolist()
        assert answered(tmp_path / name, bundle, rows)["predictions"] == pytest.approx(expected)


def test_an_ensemble_answers_with_the_average_of_its_members(bundles: Bundles, tmp_path: Path) -> None:
    ensemble.write(tmp_path / "e", {"a": bundles["flowers"], "b": bundles["flowers2"]}, {"a": 2, "b": 1})
    rows = json.loads(flowers(20).drop(columns="kind").to_json(orient="records"))
    together = automl.load(tmp_path / "e")
    got = answered(tmp_path / "state", tmp_path / "e", rows, "/v1/predict?proba=true")
    assert got["predictions"] == together.predict(rows).tolist()
    assert np.allclose(got["probabilities"], together.predict_proba(rows), atol=1e-6)


def test_images_are_taken_with_and_without_their_channel(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8)
    bundle = saved(tmp_path / "b", (images, np.arange(60) % 3), model="convnet", prepare={"form": "image"})
    expected = load(bundle).predict(images[:5]).tolist()
    assert answered(tmp_path / "s", bundle, {"rows": images[:5].tolist()})["predictions"] == expected
    with_channel = images[:5, None].tolist()
    assert answered(tmp_path / "s", bundle, {"rows": with_channel})["predictions"] == expected
    assert answered(tmp_path / "s", bundle, {"rows": images[0].tolist()})["predictions"] == expected[:1]


def test_a_language_model_gives_the_likeliest_next_tokens(tmp_path: Path) -> None:
    text = "the quick brown fox jumps over the lazy dog. " * 40
    (tmp_path / "text.txt").write_text(text)
    bundle = saved(tmp_path / "b", str(tmp_path / "text.txt"), model="lstm", prepare={"window": 16})
    prompt = text[:16]
    assert answered(tmp_path / "s", bundle, [prompt])["predictions"] == load(bundle).predict([prompt]).tolist()


def test_embedded_categories_and_components_are_served(tmp_path: Path) -> None:
    rows = json.loads(flowers(30).drop(columns="kind").to_json(orient="records"))
    for options in ({"categorical": "embed"}, {"pca": 0.9, "crosses": 3}):
        bundle = saved(tmp_path / str(len(options)), flowers(), target="kind", prepare=options)
        got = answered(tmp_path / "state" / str(len(options)), bundle, rows)["predictions"]
        assert got == load(bundle).predict(rows).tolist()


def test_heads_of_requests_have_limits_of_size_and_time(
    bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    import uvicorn

    from automl.serving.traffic import protocol

    monkeypatch.setattr(protocol.Guarded, "head_s", 0.5)
    made = service(tmp_path, ("m", bundles["flowers"]))
    config = uvicorn.Config(made.gate, port=0, http=protocol.Guarded, log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]

    def said(content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as one:
            one.sendall(content)
            pieces = []
            with contextlib.suppress(ConnectionResetError):  # it was closed with bytes that nobody had read
                while piece := one.recv(65536):
                    pieces.append(piece)
            return b"".join(pieces)

    try:
        assert said(b"") == b""  # nothing comes: closed
        assert said(b"GET / HTTP/1.1\r\nHost: local") == b""  # it never ends: closed
        large = said(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000)
        assert not large or b"at most 65536 bytes" in large
        assert b'"code":"invalid_http"' in said(b"\x00\x01\x02\r\n\r\n")
        fine = said(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"
        )
        assert fine.startswith(b"HTTP/1.1 200")
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
