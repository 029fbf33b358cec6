"""Draws docs/live_page_*.png: the live page of a search on the digits, at three sizes, in a headless Chromium.

`python docs/live_page.py` (a minute); the browser is found by its usual names, or named in AUTOML_BROWSER.
"""

import contextlib
import sys
import tempfile
import threading
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import automl  # noqa: E402
from automl.driver.screen import NullScreen  # noqa: E402
from automl.driver.signals import Interrupted  # noqa: E402
from automl.view.web.answers import Answers  # noqa: E402
from automl.view.web.feed import Feed  # noqa: E402
from automl.view.web.server import Server  # noqa: E402
from tests.support.browser import Browser, browser  # noqa: E402

SIZES = {"wide": (1400, 1250), "middle": (820, 1100), "narrow": (390, 844)}
SHOWN = 60
"""Trials that have ended when the pictures are taken."""


def main() -> None:
    """Search, look at it, and write the pictures."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "digits"
        options = {"overrides": {"epochs": 27, "stopper": {"name": "asha", "eta": 3}}, "finalists": None}
        running = automl.search("digits", trials=400, block=False, path=path, screen=NullScreen(), **options)
        while not (path / "ledger.sqlite").exists() or automl.Study.open(path).counts.ended < SHOWN:
            time.sleep(0.5)
        with Server(Answers(Feed(path))) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with browser() as page:
                pictures(page, server.address)
            server.shutdown()
        running.stop()
        with contextlib.suppress(Interrupted):
            running.result(120)


def pictures(page: Browser, address: str) -> None:
    """All three."""
    page.size(*SIZES["wide"])
    page.go(address)
    page.wait("document.querySelectorAll('#importance meter').length > 0")
    page.js("document.querySelectorAll('#board tr[data-trial] td:first-child')[1].click()")
    page.js("document.querySelectorAll('#board tr[data-trial] td:first-child')[2].click()")
    for name, (width, height) in SIZES.items():
        page.size(width, height, phone=width < 500)
        page.wait(f"innerWidth === {width}")
        time.sleep(1.0)
        place = {"wide": "scrollTo(0, 0)", "middle": "document.querySelector('.pictures').scrollIntoView()"}
        page.js(place.get(name, "scrollTo(0, 0)"))
        time.sleep(0.3)
        page.picture(DOCS / f"live_page_{name}.png")


if __name__ == "__main__":
    main()
