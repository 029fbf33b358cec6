"""The live page in a real browser: read, clicked through, and used with the keyboard, beside a search that runs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import automl
from automl.driver.signals import Interrupted
from automl.study import paths
from automl.testing.large import large
from tests.support.browser import Browser, browser, program
from tests.support.patience import PATIENCE_S
from tests.support.web import Client, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

EVIL = '</script></td><img src=x onerror="window.hacked=1">\u202e'
SIZES = {"wide": (1400, 1000), "middle": (820, 1100), "narrow": (390, 844)}
QUICK = 25
"""Trials that end at once; those behind them run until somebody stops them."""


def train(trial: automl.Trial) -> None:
    print(f"\x1b[31mtrial {trial.number}\x1b[0m {EVIL}")
    if trial.number % 8 == 5:
        raise ValueError(EVIL)
    for step in trial.steps(4 if trial.number < QUICK else 100_000):
        trial.report(val_loss=abs(trial["lr"] - 0.01) + 1 / min(step, 50), **{EVIL: 1.0})
        if trial.number >= QUICK:
            time.sleep(0.05)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Client]]:
    """A browser that shows a search which runs, in one worker."""
    program()
    path = tmp_path_factory.mktemp("studies") / "clicked"
    space = {"lr": automl.Float(1e-4, 1, log=True), EVIL: automl.Choice(["a", EVIL]), "__proto__": automl.Int(1, 9)}
    options = {"metric": "val_loss", "strategy": "random", "executor": "inline", "finalists": None, "trials": 60}
    running = automl.search(train, space=space, block=False, path=path, **options)
    until = time.monotonic() + PATIENCE_S
    while not ((path / paths.LEDGER).exists() and automl.Study.open(path).counts.begun > QUICK):
        assert time.monotonic() < until
        time.sleep(0.1)
    with serving(path) as client, browser() as shown:
        shown.size(*SIZES["wide"])
        shown.go(client.server.address)
        shown.wait("document.querySelectorAll('#board tbody tr[data-trial]').length > 5")
        yield shown, client
    running.stop()
    with pytest.raises(Interrupted):
        running.result(PATIENCE_S)


def text(shown: Browser, id: str) -> str:
    return str(shown.js(f"document.getElementById('{id}').textContent"))


def test_it_shows_the_search_and_runs_nothing_of_strangers(page: tuple[Browser, Client]) -> None:
    shown, _ = page
    assert text(shown, "state") == "running"
    assert "val_loss" in text(shown, "how")
    assert f"of {QUICK + 1} trials" in text(shown, "shown")
    assert shown.js("location.hash + location.search") == "", "the token has left the address"
    assert shown.js("window.hacked === undefined && document.images.length === 0")
    assert shown.js("[...document.scripts].every((one) => one.src.startsWith(location.origin))")
    assert "<img src=x" in shown.js("document.getElementById('board').textContent")
    assert "\u202e" not in shown.js("document.body.textContent")
    shown.js("location.reload()")
    shown.wait("document.querySelectorAll('#board tbody tr[data-trial]').length > 5")
    assert shown.problems == []


def test_without_the_token_nothing_is_shown(page: tuple[Browser, Client]) -> None:
    _, client = page
    with browser() as stranger:
        stranger.go(client.own)
        stranger.wait("document.getElementById('state').textContent.includes('open the address')")
        assert stranger.js("document.querySelectorAll('#board tr[data-trial]').length") == 0


def test_the_board_is_sorted_and_filtered(page: tuple[Browser, Client]) -> None:
    shown, _ = page
    shown.click("#board thead th:nth-child(3) button")
    assert shown.js("document.querySelector('#board thead th:nth-child(3)').getAttribute('aria-sort')") == "ascending"
    first = "document.querySelector('#board tbody tr[data-trial]').dataset.trial"
    assert shown.js(first) == "0"
    shown.click("#board thead th:nth-child(3) button")
    assert shown.js(first) == str(QUICK)
    shown.write("#filter", "lr<0.01 state=failed")
    shown.wait("document.getElementById('shown').textContent.match(/^[0-9] of/)")
    assert shown.js(
        "[...document.querySelectorAll('#board tr[data-trial]')].every((one) => one.className === 'failed')"
    )
    shown.write("#filter", "nonsense=3")
    shown.wait("document.getElementById('shown').textContent === 'there is no column nonsense'")
    shown.click("#clear")
    shown.click("#board thead th:nth-child(2) button")
    shown.wait("document.getElementById('shown').textContent.startsWith('26 of')")


def test_a_keyboard_is_enough(page: tuple[Browser, Client]) -> None:
    shown, _ = page
    shown.js("document.querySelector('#board table').focus()")
    shown.press("ArrowDown", "ArrowDown", "ArrowUp", "ArrowDown")
    second = shown.js("document.querySelectorAll('#board tr[data-trial]')[1].id")
    assert shown.js("document.querySelector('#board table').getAttribute('aria-activedescendant')") == second
    shown.press("Enter")
    shown.wait("!document.getElementById('trial').hidden")
    assert shown.js("document.activeElement.id") == "title-trial"
    assert text(shown, "title-trial").startswith(f"Trial t{int(second.removeprefix('row-')):04d}")
    shown.press("Escape")
    assert shown.js("document.getElementById('trial').hidden && document.activeElement.tagName === 'TABLE'")
    shown.press(" ", "End", " ")
    shown.wait("document.querySelectorAll('#compared thead th').length === 3")
    assert shown.js("document.querySelector('#compared tr.differs') !== null")
    assert shown.js("document.querySelectorAll('#board tr[aria-selected=true]').length") >= 1
    shown.press("Home")
    shown.click("#unchoose")
    shown.wait("document.getElementById('compare').hidden")


def test_a_failure_is_shown_with_its_traceback_and_what_it_printed(page: tuple[Browser, Client]) -> None:
    shown, _ = page
    shown.write("#filter", "state=failed trial=5")
    shown.wait("document.querySelectorAll('#board tr[data-trial]').length === 1")
    shown.click("#board tr[data-trial='5'] td:nth-child(4)")
    shown.wait("!document.getElementById('trial').hidden")
    told = text(shown, "details")
    assert "Failure: exception" in told
    assert "Traceback (most recent call last)" in told
    assert "trial 5 </script>" in told
    assert "\x1b" not in told
    folded = "document.querySelectorAll('#details details')[1].open"
    shown.js(f"{folded} = false")
    shown.click("#board tr[data-trial='5'] td:nth-child(4)")
    shown.wait("document.querySelectorAll('#details details').length === 3")
    assert not shown.js(folded)
    assert shown.js("document.getElementById('stop').disabled && document.getElementById('pin').disabled")
    assert shown.js("window.hacked === undefined && document.images.length === 0")
    shown.click("#close")
    shown.click("#clear")


def test_a_brush_keeps_the_trials_of_a_stretch_and_narrows_the_search(page: tuple[Browser, Client]) -> None:
    shown, client = page
    shown.wait("document.getElementById('shown').textContent.startsWith('26 of')")
    x, y = shown.place("#parallel")
    columns = 'document.querySelectorAll("#board thead th")'
    names = shown.js(f"[...{columns}].map((one) => one.textContent)")
    params = [name for name in names if name in ("lr", "__proto__")]
    assert len(params) == 2
    width = shown.js("document.getElementById('parallel').clientWidth")
    at = names.index("lr") - names.index("time") - 1
    left = x - width / 2 + 50 + (width - 100) * at / 3
    shown.drag((left, y), (left, y + 400))
    shown.wait("/^[0-9]+ of 26/.test(document.getElementById('shown').textContent) && !document.getElementById('shown')"
               ".textContent.startsWith('26')")  # fmt: skip
    shown.click("#narrow")
    shown.wait("document.getElementById('told').textContent.includes('lr is limited to')")
    assert shown.dialogs[-1].startswith("Narrow lr to")
    shown.wait("document.getElementById('edits').textContent.includes('ada: lr is limited to')")
    _, y = shown.place("#parallel")
    for kind in ("mousePressed", "mouseReleased"):
        shown.mouse(kind, left, y)
    shown.wait("document.getElementById('shown').textContent.startsWith('26 of')")
    assert client.state()["head"]["ranges"]["lr"][1] < 1
    shown.js("document.getElementById('stretches').open = true")
    shown.write("[aria-label='lr to']", "0.001")
    shown.press("Enter")
    shown.wait("!document.getElementById('shown').textContent.startsWith('26 of')")
    shown.click("#clear")
    shown.wait("document.getElementById('shown').textContent.startsWith('26 of')")


def test_buttons_pin_stop_and_add_trials(page: tuple[Browser, Client]) -> None:
    shown, client = page
    shown.write("#filter", "state=running")
    shown.wait("document.querySelectorAll('#board tr[data-trial]').length === 1")
    shown.click("#board tr[data-trial] td:nth-child(4)")
    shown.wait("!document.getElementById('trial').hidden && !document.getElementById('pin').disabled")
    shown.click("#pin")
    shown.wait("document.getElementById('pin').textContent === 'Pinned'")
    assert client.state()["head"]["pinned"] == [QUICK]
    shown.click("#again")
    shown.wait("document.querySelector('#config input').value !== ''")
    shown.write("#config label:first-child input", "0.00123")
    shown.click("#adding button")
    shown.wait("document.getElementById('told').textContent.includes('is tried next')")
    shown.write("#budget", "+2")
    shown.press("Enter")
    shown.wait("document.getElementById('told').textContent === 'the budget of trials is 62 now'")
    shown.write("#budget", "many")
    shown.press("Enter")
    shown.wait("document.getElementById('told').textContent.startsWith('budget: needs a number')")
    shown.click("#stop")
    shown.wait("document.querySelector('#details td').textContent === 'stopped'")
    assert shown.js("document.getElementById('told').getBoundingClientRect().bottom <= innerHeight"), "it is in sight"
    assert shown.dialogs[-1] == f"Stop trial t{QUICK:04d}?"
    assert "stopped by ada" in text(shown, "details")
    shown.click("#close")
    shown.click("#clear")
    shown.wait("document.getElementById('shown').textContent.startsWith('27 of')")  # it came by itself
    added = automl.Study.open(client.server.answers.feed.path)
    assert added.history.trials[QUICK + 1].config["lr"] == 0.00123
    added.close()
    shown.click("#pause")
    shown.wait("document.getElementById('state').textContent === 'paused (by ada)'")
    shown.click("#resume")
    shown.wait("document.getElementById('state').textContent === 'running'")


def test_everything_has_a_name_and_fits_its_window(page: tuple[Browser, Client]) -> None:
    shown, _ = page
    roles = {"button", "textbox", "combobox", "image", "grid", "region", "searchbox", "meter", "progressindicator"}
    tree = shown.call("Accessibility.getFullAXTree")["nodes"]
    found = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in tree if not one.get("ignored")]
    named = [(role, name) for role, name in found if role in roles]
    assert len(named) > 30
    assert [one for one in named if not one[1].strip()] == []
    assert {"grid", "image", "main", "banner", "heading", "row", "columnheader", "gridcell"} <= {
        role for role, _ in found
    }
    for width, height in SIZES.values():
        shown.size(width, height, phone=width < 500)
        shown.wait(f"innerWidth === {width}")
        assert shown.js("document.documentElement.scrollWidth <= innerWidth"), width
    shown.size(*SIZES["wide"])
    refused = "status of 422"  # one budget was no number
    assert [one for one in shown.problems if refused not in one] == []


def test_ten_thousand_trials_stay_usable(tmp_path: Path) -> None:
    program()
    with large(tmp_path / "s", 10_000, running=10) as study, serving(tmp_path / "s") as client, browser() as shown:
        shown.size(*SIZES["wide"])
        shown.go(client.server.address)
        shown.wait("document.getElementById('shown').textContent.startsWith('10,010 of')")
        shown.call("Performance.enable")

        def spent_s() -> float:
            metrics = {one["name"]: one["value"] for one in shown.call("Performance.getMetrics")["metrics"]}
            return float(metrics["TaskDuration"])

        before_s = spent_s()
        trial = study.history.running[0]
        study.report(trial.number, 4, {"val_loss": 0.001, "acc": 0.5})
        study.finish(trial.number)
        shown.wait(f"document.querySelector('#board tr[data-trial=\"{trial.number}\"]') !== null")
        assert spent_s() - before_s < 1.5
        assert shown.js("document.querySelectorAll('#board tbody tr').length") < 60
        shown.js("document.getElementById('board').scrollTop = 1e7")
        shown.wait("document.querySelectorAll('#board tr.failed').length > 0")
        assert shown.problems == []
