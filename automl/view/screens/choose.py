"""What people see while a search runs and when it ends. `screen()` picks the one that suits where the output goes."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from automl.driver.screen import Screen
from automl.view.screens.screens import GuardedScreen, QuietScreen

if TYPE_CHECKING:
    from rich.console import Console


def screen(
    *,
    quiet: bool = False,
    block: bool = True,
    ascii: bool = False,
    stderr: TextIO | None = None,
    stdout: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> Screen:
    """The screen for these streams: live on a terminal, lines elsewhere, nothing but the final block when `quiet`.

    `block=False` leaves the final block out (stdout is then the caller's, for one JSON document).
    """
    environ = os.environ if environ is None else environ
    results = console(stdout or sys.stdout, environ=environ) if block else None
    if quiet:
        return GuardedScreen(QuietScreen(results))
    progress = console(stderr or sys.stderr, environ=environ)
    if progress.is_terminal and not progress.is_dumb_terminal and getattr(stderr or sys.stderr, "isatty", bool)():
        from automl.view.screens.live import LiveScreen

        unicode = not ascii and speaks_unicode(stderr or sys.stderr)
        return GuardedScreen(LiveScreen(progress, results, unicode=unicode))
    from automl.view.screens.plain import PlainScreen

    return GuardedScreen(PlainScreen(progress, results))


def console(stream: TextIO, *, environ: Mapping[str, str] | None = None) -> "Console":
    """A rich console on `stream` that honours NO_COLOR, FORCE_COLOR and TERM=dumb, and is 120 wide off a terminal."""
    from rich.console import Console

    environ = dict(os.environ if environ is None else environ)
    width = None if stream.isatty() or "COLUMNS" in environ else 120
    return Console(file=stream, width=width, emoji=False, highlight=False, _environ=environ)


def speaks_unicode(stream: TextIO) -> bool:
    """Whether block elements can be written to `stream`."""
    try:
        "▁━…".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
