"""A headless Chromium for tests of pages, spoken to over a pipe; without any package besides the browser."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.patience import PATIENCE_S

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-default-browser-check"),
    *("--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars", "--disable-extensions"),
)
KEYS = {"ArrowDown": 40, "ArrowUp": 38, "PageDown": 34, "End": 35, "Home": 36, "Enter": 13, " ": 32, "Escape": 27}


def program() -> str:
    """The browser; the test is skipped where there is none."""
    found = os.environ.get("AUTOML_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser is installed ({', '.join(NAMES[:3])}; or name one in AUTOML_BROWSER)")
    return found


class Browser:
    """One page of a browser. `problems` has what it has complained about: exceptions, and violations of a policy."""

    def __init__(self, to: int, answers: int) -> None:
        self.to, self.answers = to, answers
        self.problems: list[str] = []
        self.dialogs: list[str] = []
        self._left = b""
        self._number = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: Any) -> Any:
        """Ask the browser for something of its protocol, and wait for the answer."""
        number = self._send(method, values)
        while True:
            told = self._read()
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._note(told)

    def _send(self, method: str, values: dict[str, Any]) -> int:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": values}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self.to, json.dumps(asked).encode() + b"\0")
        return self._number

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = os.read(self.answers, 2**20)
            assert more, "the browser has ended"
            self._left += more
        told, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(told))

    def _note(self, told: dict[str, Any]) -> None:
        values = told.get("params", {})
        match told.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(values["exceptionDetails"])[:2000])
            case "Log.entryAdded" if values["entry"]["level"] == "error":
                self.problems.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")
            case "Page.javascriptDialogOpening":
                self.dialogs.append(values["message"])
                self._send("Page.handleJavaScriptDialog", {"accept": True})

    def go(self, address: str) -> None:
        """Open a page."""
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = PATIENCE_S) -> Any:
        """Wait until an expression is true."""
        until = time.monotonic() + seconds
        while not (found := self.js(condition)):
            assert time.monotonic() < until, f"never true: {condition}\n{self.problems}"
            time.sleep(0.05)
        return found

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Give the page's window this size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def picture(self, file: Path) -> None:
        """Write what is in sight as a PNG file."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def place(self, selector: str) -> tuple[float, float]:
        """The middle of an element, after it was scrolled into sight."""
        box = self.js(f"(() => {{const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView("
                      "{block: 'center'}); const b = one.getBoundingClientRect(); return [b.x + b.width / 2, b.y + "
                      "b.height / 2]})()")  # fmt: skip
        return float(box[0]), float(box[1])

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A movement of the mouse, or of its left button: mousePressed, mouseReleased, mouseMoved."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        x, y = self.place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at one place and release at another."""
        self.mouse("mousePressed", *start)
        for share in (0.3, 0.6, 1.0):
            self.mouse("mouseMoved", *(a + share * (b - a) for a, b in zip(start, end, strict=True)))
        self.mouse("mouseReleased", *end)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            same = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
            text = {"text": {"Enter": "\r", " ": " "}[key]} if key in ("Enter", " ") else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **same, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def write(self, selector: str, text: str) -> None:
        """Replace what stands in a field."""
        self.click(selector)
        self.js(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty page."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        (theirs_in, to), (answers, theirs_out) = os.pipe(), os.pipe()
        redirected = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} 2>/dev/null'
        command = ["bash", "-c", redirected, "-", program(), *OPTIONS, f"--user-data-dir={home}"]
        process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL)
        os.close(theirs_in), os.close(theirs_out)
        opened = deque((to, answers))
        try:
            yield Browser(to, answers)
        finally:
            for one in opened:
                os.close(one)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
