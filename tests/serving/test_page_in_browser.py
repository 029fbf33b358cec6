"""The live page at `/` in a headless Chromium: live figures, a form for a row, nothing of strangers runs."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import uvicorn

from tests.support.browser import Browser, browser, program
from tests.support.patience import PATIENCE_S
from tests.support.serving import flowers, saved, service

SIZES = {"wide": (1440, 900), "middle": (820, 1100), "narrow": (375, 812)}
EVIL = "<img src=x onerror=window.hacked=1>"
pytestmark = pytest.mark.slow


def hostile(rows: int = 200) -> pd.DataFrame:
    """A table whose column, categories and classes are markup, or far too long."""
    frame = flowers(rows)
    rng = np.random.default_rng(3)
    frame[EVIL] = rng.choice(["</datalist><script>window.hacked=1</script>", "\u202egnp.exe", "w" * 200], rows)
    frame["kind"] = np.where(frame.kind == "iris", "<script>window.hacked=1</script>", "'\"><b>" + "v" * 120)
    return frame


@contextmanager
def listening(state: Path, **bundles: Path) -> Iterator[str]:
    """The address of a server in a thread of this process."""
    made = service(state, *bundles.items(), window=50)
    config = uvicorn.Config(made.gate, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + PATIENCE_S
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def page(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    program()
    home = tmp_path_factory.mktemp("page")
    evil = saved(home / "evil", hostile(), target="kind")
    models = {"flowers": bundles["flowers"], "digits": bundles["digits"], "evil": evil}
    with listening(home / "state", **models) as address, browser() as shown:
        shown.size(*SIZES["wide"])
        shown.go(f"{address}/")
        shown.wait("document.querySelectorAll('#row input').length === 4 && "
                   "document.querySelectorAll('#models h2').length === 3")  # fmt: skip
        yield shown, address


def text(shown: Browser, id: str) -> str:
    return str(shown.js(f"document.getElementById('{id}').textContent"))


def choose(shown: Browser, model: str) -> None:
    """Choose a model in the form, as a person does: the form is made anew."""
    shown.js(f"(() => {{const one = document.getElementById('model'); one.value = {json.dumps(model)}; "
             "one.dispatchEvent(new Event('change'))})()")  # fmt: skip


def answer(shown: Browser) -> dict[str, Any]:
    """What the page shows after a click on the button."""
    shown.js("document.getElementById('answer').textContent = ''")
    shown.click("#ask")
    shown.wait("document.getElementById('answer').textContent !== ''")
    found: dict[str, Any] = json.loads(text(shown, "answer"))
    return found


def test_the_form_tries_a_row(page: tuple[Browser, str]) -> None:
    shown, address = page
    choose(shown, "flowers")
    shown.write("#row input[name=size]", "9.5")
    shown.write("#row input[name=colour]", "red")
    shown.write("#row input[name=age]", "")
    shown.write("#row input[name=day]", "2021-03-04")
    found = answer(shown)
    row = {"size": 9.5, "age": None, "colour": "red", "day": "2021-03-04"}
    expected = httpx.post(f"{address}/v1/predict", json={"model": "flowers", "rows": [row], "proba": True}).json()
    assert found["predictions"] == expected["predictions"]
    assert found["probabilities"][0] == pytest.approx(expected["probabilities"][0], abs=1e-6)
    shown.write("#row input[name=size]", "many")
    assert answer(shown)["error"]["where"] == "rows[0].size"
    shown.write("#row input[name=size]", "1")
    shown.press("Enter")
    shown.wait("document.getElementById('answer').textContent.includes('predictions')")


def test_the_form_says_what_training_has_seen(page: tuple[Browser, str]) -> None:
    shown, _ = page
    choose(shown, "flowers")
    labels = shown.js("[...document.querySelectorAll('#row label')].map((one) => one.firstChild.textContent)")
    assert labels[0].startswith("size (")
    assert re.fullmatch(r"day \(2021-\d\d-\d\d to 2022-\d\d-\d\d\)", labels[3])


def test_a_model_of_arrays_has_a_field_for_them(page: tuple[Browser, str]) -> None:
    shown, _ = page
    choose(shown, "digits")
    shown.write("#row textarea", json.dumps([[0.5] * 16, [1.0] * 16]))
    assert len(answer(shown)["predictions"]) == 2
    shown.write("#row textarea", "[[1, ")
    shown.click("#ask")
    shown.wait("document.getElementById('answer').textContent.includes('JSON')")


def test_its_figures_are_live(page: tuple[Browser, str]) -> None:
    shown, address = page
    rows = json.loads(flowers(60, shift=8.0).drop(columns="kind").to_json(orient="records"))
    given = httpx.post(f"{address}/v1/predict", json={"model": "flowers", "rows": rows}).json()
    truth = {"request_id": given["request_id"], "answers": given["predictions"]}
    assert httpx.post(f"{address}/v1/feedback", json=truth).status_code == 200
    httpx.post(f"{address}/v1/predict", content=b"{")
    shown.wait("document.getElementById('models').textContent.includes('On feedback: accuracy 1.0000')")
    shown.wait("document.querySelector('#models .bad') !== null && document.querySelector('#models .bad').textContent"
               " === 'changed'")  # fmt: skip
    assert "drift in 1 of 1 windows" in text(shown, "models")
    shown.wait("document.getElementById('totals').textContent.includes('400')")
    assert shown.js(
        "[...document.querySelectorAll('#rates rect')].some((one) => Number(one.getAttribute('height')) > 0)"
    )
    assert "1 worker(s)" in text(shown, "server")


def test_nothing_of_strangers_runs(page: tuple[Browser, str]) -> None:
    shown, _ = page
    choose(shown, "evil")
    assert shown.js("document.querySelectorAll('#row input').length") == 5
    shown.write("#row input[name=size]", EVIL)
    assert EVIL in answer(shown)["error"]["message"]
    shown.write("#row input[name=size]", "3")
    found = answer(shown)
    assert found["predictions"][0] in {"<script>window.hacked=1</script>", "'\"><b>" + "v" * 120}
    shown.wait(f"document.getElementById('models').textContent.includes({json.dumps(EVIL)})")
    assert shown.js("window.hacked === undefined && document.images.length === 0")
    assert shown.js("[...document.scripts].every((one) => one.src.startsWith(location.origin))")
    assert shown.js("document.querySelectorAll('main script, main b:not([id])').length") == 0
    for attempt in (
        "eval('1')",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.hacked=1>')",
    ):
        shown.js(f"(() => {{try {{ {attempt} }} catch {{ return }}}})()")
    assert shown.js("window.hacked === undefined")
    shown.js("document.body.lastElementChild.remove()")
    assert any("Content Security Policy" in one for one in shown.problems), "the policy has refused what was tried here"
    assert shown.dialogs == []


@pytest.mark.parametrize("size", list(SIZES))
def test_nothing_overflows(page: tuple[Browser, str], size: str) -> None:
    shown, address = page
    choose(shown, "evil")
    answer(shown)
    fits(shown, size)
    shown.go(f"{address}/docs")
    fits(shown, size)
    shown.go(f"{address}/")
    shown.wait("document.querySelectorAll('#row input').length === 4")


def fits(shown: Browser, size: str) -> None:
    """Check that the page is no wider than its window, and only parts that are to be scrolled have more."""
    shown.size(*SIZES[size], phone=size == "narrow")
    shown.wait(f"window.innerWidth === {SIZES[size][0]}")
    wide = shown.js("[...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > "
                    "document.documentElement.clientWidth + 1 && !one.parentElement.closest('.wide')).map((one) => "
                    "one.tagName + ' ' + (one.textContent || one.name || '').slice(0, 40))")  # fmt: skip
    assert wide == []
    assert shown.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
