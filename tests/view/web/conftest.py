"""Servers of the live page."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.web import Client, serving


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question looks at the ledger, however short after the last one, and nothing is put off."""
    monkeypatch.setattr("automl.view.web.feed.LEAST_S", 0.0)
    monkeypatch.setattr("automl.view.web.feed.SHARE", 1.0)


@pytest.fixture
def serve() -> Iterator[Callable[..., Client]]:
    """Serves studies until the test ends."""
    with ExitStack() as opened:
        yield lambda path, **options: opened.enter_context(serving(Path(path), **options))
