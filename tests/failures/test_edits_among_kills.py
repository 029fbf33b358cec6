"""Random edits among random kills: the search ends as an undisturbed one with the same edits at the same places."""

import json
import random
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from automl.errors import AutoMLError
from automl.study.ledger.ledger import Ledger
from automl.study.live import inbox
from automl.study.reader import StudyView
from automl.testing.stress import chaos, replay
from automl.testing.stress.chaos_cases import Case
from automl.testing.stress.victim import Victim

CASES = {
    "inline": Case("edits, inline", {"name": "tpe", "startup": 5}, {"name": "asha", "eta": 2}, 1, False, "inline", 90),
    "two workers": Case(
        "edits, 2 workers", {"name": "tpe", "startup": 5}, {"name": "asha", "eta": 2}, 2, True, "local", 120
    ),
}
LIMIT_S = 600  # a search that has not ended by then hangs


def random_request(path: Path, rng: random.Random) -> dict[str, Any] | None:
    """Something that may be asked of the search as it is now."""
    try:
        with closing(StudyView(path)) as view:
            running = [t.number for t in view.history.running]
            low, high = view.history.space.params["x"].low, view.history.space.params["x"].high  # type: ignore[union-attr]
            begun = len(view.history)
    except AutoMLError:  # killed before there was a ledger
        return None
    kinds = ["add", "budget", "narrow", *(["stop", "pin"] if running else [])]
    kind = rng.choice(kinds)
    values: dict[str, Any] = {
        "add": {"x": round(rng.uniform(low, high), 3)},
        "budget": f"+{rng.randint(1, 2)}",
        "narrow": {"x": [low + 0.01 * rng.random(), high - 0.01 * rng.random()]},
        "stop": running[-1] if running else 0,
        "pin": running[0] if running else 0,
    }
    return {kind: values[kind]} if begun < 130 else None


def disturbed(case: Case, path: Path, rng: random.Random, kills: int) -> int:
    """A search with kills and edits, driven to its end; returns how many edits were asked for."""
    asked, begun, left = 0, time.monotonic(), kills
    longest = 0.1 if case.executor == "inline" else 0.5
    while time.monotonic() - begun < LIMIT_S:
        victim = Victim(case, path, path.with_suffix(".err"))
        victim.wait_for_reports(5)
        code = None
        for _ in range(4):
            request = random_request(path, rng) if code is None else None
            if request is not None:
                inbox.post(path, {**request, "by": "chaos"})
                asked += 1
            code = victim.wait(rng.uniform(0.0, longest)) if code is None else code
        if code is None and left > 0:
            victim.kill()
            left -= 1
            continue
        code = victim.wait(LIMIT_S) if code is None else code
        assert code == 0, path.with_suffix(".err").read_text()[-2000:]
        return asked
    raise AssertionError("the search does not end")


def edits_in_place(path: Path) -> list[dict[str, Any]]:
    """The requests that were carried out, each with the place of its edits among the other facts."""
    found: dict[str, dict[str, Any]] = {}
    count: Counter[str] = Counter()
    with closing(Ledger.read_only(path)) as ledger:
        for _, kind, _, what, source, _, more in ledger.in_order("begun", "report", "end", "edit"):
            count[kind] += 1
            if kind == "edit" and source:  # what attempts have cost has none
                after = {"trials": count["begun"], "reports": count["report"], "ended": count["end"]}
                found.setdefault(more, {"after": after, **wanted(json.loads(what))})
    return list(found.values())


def wanted(edit: dict[str, Any]) -> dict[str, Any]:
    """The request that an edit came from."""
    match edit["kind"]:
        case "add":
            return {"add": edit["config"]}
        case "budget":
            return {"budget": int(edit["to"])}
        case "narrow":
            return {"narrow": {edit["name"]: edit["to"]}}
        case kind:
            return {kind: edit["trial"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.catalogue(
    7, "people edit the search while it is killed again and again", "as an undisturbed search with these edits", None
)
def test_edits_among_kills(tmp_path: Path, name: str) -> None:
    case, rng = CASES[name], random.Random(7)
    asked = disturbed(case, tmp_path / "killed", rng, kills=5)
    requests = edits_in_place(tmp_path / "killed")
    assert asked >= len(requests) >= 5
    assert list(chaos.check_ledger(tmp_path / "killed")) == []
    assert list(replay.problems(tmp_path / "killed")) == []
    whole = tmp_path / "whole"
    whole.mkdir()
    for request in requests:
        inbox.post(whole, {**request, "by": "chaos"})
    assert Victim(case, whole, whole.with_suffix(".err")).wait(LIMIT_S) == 0
    assert chaos.board(tmp_path / "killed") == chaos.board(whole)
    assert edits_in_place(whole) == requests
