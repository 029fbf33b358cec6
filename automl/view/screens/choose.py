"""`screen()` chooses the screen that suits the output streams."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from automl.driver.screen import Screen
from automl.view.screens.wrappers import GuardedScreen, QuietScreen

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
    """The screen for these streams: live on a terminal, lines of text elsewhere.

    Args:
        quiet: nothing but the final block.
        block: whether the final block is printed to `stdout`; False leaves stdout to the caller's JSON document.
        ascii: no characters beyond ASCII.
        stderr: where progress goes; None: the process's own.
        stdout: where the final block goes; None: the process's own.
        environ: environment variables that terminals set (TERM, NO_COLOR, TMUX, ...); None: the process's own.
    """
    environ, stderr = os.environ if environ is None else environ, stderr or sys.stderr
    results = console(stdout or sys.stdout, environ=environ) if block else None
    if quiet:
        return GuardedScreen(QuietScreen(results))
    progress = console(stderr, environ=environ)
    if progress.is_terminal and not progress.is_dumb_terminal and stderr.isatty():
        from automl.view.screens.live import LiveScreen, rewraps

        unicode = not ascii and speaks_unicode(stderr)
        return GuardedScreen(LiveScreen(progress, results, unicode=unicode, rewraps=rewraps(environ)))
    from automl.view.screens.plain import PlainScreen

    return GuardedScreen(PlainScreen(progress, results))


def console(stream: TextIO, *, environ: Mapping[str, str] | None = None) -> "Console":
    """A rich console on `stream`: respects NO_COLOR, FORCE_COLOR and TERM=dumb; 120 cells wide where no terminal is."""
    from rich.console import Console

    environ = dict(os.environ if environ is None else environ)
    width = None if stream.isatty() or "COLUMNS" in environ else 120
    return Console(file=stream, width=width, emoji=False, highlight=False, _environ=environ)


def speaks_unicode(stream: TextIO) -> bool:
    """Whether block elements can be written to `stream`."""
    try:
        "▁━…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
