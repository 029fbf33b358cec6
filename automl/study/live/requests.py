"""What may be asked of a search while it runs, and the edits that follow from it.

A request is a mapping with one entry or several; all of them are carried out, or none:

    {"add": {"lr": 0.01}}          a config to try next (parameters that are left out take their default), or a list
    {"stop": 12}                   end a running or paused trial, or a list of them
    {"pin": 7}                     no stopper ends this trial
    {"pause": true}                begin nothing new; trials that run go on
    {"resume": true}               go on after a pause
    {"budget": "+50"}              50 trials more; "200": a budget of 200; "+10m", "2h": time; "+500 epochs"
    {"narrow": {"lr": [1e-4, 1e-2], "optimizer": ["adam"]}}   a smaller range
    {"by": "ada"}                  who asks
    {"after": {"trials": 20}}      not before so many trials have begun, "reports" were made or trials have "ended"
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.core.history import History
from automl.core.live.narrowing import narrowed
from automl.core.space import Config
from automl.core.trial import State
from automl.errors import SpecError, did_you_mean

Edit = dict[str, Any]
MOST_BYTES = 2**20
"""No request is larger."""
MOST_CONFIGS = 1000
POSITION = ("trials", "reports", "ended")
_COUNT = re.compile(r"(\+?)(\d{1,9})(?: ?(trials?|epochs?|steps?))?")
_DURATION = re.compile(r"(\+?)(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True)
class Request:
    """What somebody asks for.

    Attributes:
        wanted: {key: value}, see above.
        id: by which it is carried out only once, also after a crash; empty for one that is not in the inbox.
        by: who asks.
        after: {"trials" | "reports" | "ended": number}: not before the study has got so far.
    """

    wanted: Mapping[str, Any]
    id: str = ""
    by: str = "someone"
    after: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, content: object, id: str = "") -> "Request":
        """A request from what a program wrote.

        Args:
            content: the mapping, or its JSON as bytes.
            id: of the request.

        Raises:
            SpecError: it is none; says where, and which key may have been meant.
        """
        if isinstance(content, bytes):
            content = _parsed(content)
        if not isinstance(content, dict):
            raise SpecError(f'a request is a mapping such as {{"stop": 12}}, got {str(content)[:50]!r}')
        wanted = {str(key): value for key, value in content.items()}
        by, after = wanted.pop("by", "someone"), wanted.pop("after", {})
        for key in wanted:
            if key not in EDITS:
                keys = [*EDITS, "by", "after"]
                raise SpecError(f"{key[:50]!r} cannot be asked for{did_you_mean(key, keys)} (keys: {', '.join(keys)})")
        if not wanted:
            raise SpecError(f"nothing is asked for (keys: {', '.join(EDITS)})")
        if not isinstance(by, str) or not by.isprintable() or len(by) > 100:
            raise SpecError(f"by: needs a name of at most 100 characters, got {str(by)[:50]!r}")
        return cls(wanted, id, by, _position(after))

    def due(self, history: History) -> bool:
        """Whether the study has got as far as `after` says."""
        if not self.after:
            return True
        reached = position(history)
        return all(reached[name] >= number for name, number in self.after.items())

    def edits(self, history: History) -> list[Edit]:
        """What has to be changed.

        Raises:
            SpecError: something is wrong; the message begins with its key.
        """
        found: list[Edit] = []
        for key, value in self.wanted.items():
            found += EDITS[key](value, history)
        return found


def position(history: History) -> dict[str, int]:
    """How far a study has got: trials that have begun, reports, trials that have ended."""
    ended = sum(history.count(state) for state in State if state.ended)
    return dict(zip(POSITION, (len(history), sum(len(t.curve) for t in history.trials), ended), strict=True))


def _parsed(content: bytes) -> object:
    if len(content) > MOST_BYTES:
        raise SpecError(f"a request has at most {MOST_BYTES} bytes, got {len(content)}")

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"the request is no JSON ({str(error)[:200]})") from None


def _position(after: object) -> dict[str, int]:
    if not isinstance(after, dict):
        raise SpecError(f'after: needs a mapping such as {{"trials": 20}}, got {str(after)[:50]!r}')
    for name, number in after.items():
        if name not in POSITION:
            raise SpecError(f"after: {name!r} is not counted{did_you_mean(name, POSITION)} ({', '.join(POSITION)} are)")
        if type(number) is not int or number < 0:
            raise SpecError(f"after.{name}: needs a whole number, got {str(number)[:50]!r}")
    return after


# -- the entries -------------------------------------------------------------------------------------------------------


def _add(value: Any, history: History) -> Iterator[Edit]:
    configs = value if isinstance(value, list) else [value]
    if not configs or len(configs) > MOST_CONFIGS:
        raise SpecError(f"add: needs a config, or a list of 1 to {MOST_CONFIGS}")
    for k, config in enumerate(configs):
        place = f"add[{k}]" if isinstance(value, list) else "add"
        yield {"kind": "add", "config": _completed(config, history, place)}


def _completed(config: Any, history: History, place: str) -> Config:
    try:
        return history.space.completed(config)
    except (SpecError, TypeError, ValueError) as error:
        raise SpecError(f"{place}: {error}") from None


def _stop(value: Any, history: History) -> Iterator[Edit]:
    for number in _trials("stop", value, history):
        yield {"kind": "stop", "trial": number}


def _pin(value: Any, history: History) -> Iterator[Edit]:
    for number in _trials("pin", value, history):
        yield {"kind": "pin", "trial": number}


def _trials(key: str, value: Any, history: History) -> Iterator[int]:
    for number in value if isinstance(value, list) else [value]:
        if type(number) is not int:
            raise SpecError(f"{key}: needs the number of a trial, got {str(number)[:50]!r}")
        if not 0 <= number < len(history):
            known = f"trials are 0 to {len(history) - 1}" if len(history) else "none has begun"
            raise SpecError(f"{key}: there is no trial {number}; {known}")
        if (state := history.trials[number].state).ended:
            raise SpecError(f"{key}: trial {number} has ended already ({state})")
        yield number


def _pause(value: Any, history: History) -> Iterator[Edit]:
    yield from _switch("pause", value)
    if history.live.paused is not None:
        raise SpecError("pause: the search is paused already; resume ends that")


def _resume(value: Any, history: History) -> Iterator[Edit]:
    yield from _switch("resume", value)
    if history.live.paused is None:
        raise SpecError("resume: the search is not paused")


def _switch(key: str, value: Any) -> Iterator[Edit]:
    if value is not True:
        raise SpecError(f"{key}: needs true, got {str(value)[:50]!r}")
    yield {"kind": key}


def _budget(value: Any, history: History) -> Iterator[Edit]:
    limit, more, number = _amount(value)
    before = getattr(history.plan, limit)
    if more and before is None:
        known = [name for name in NAMES if getattr(history.plan, name) is not None]
        limits = " and ".join(NAMES[name] for name in known) or "nothing"
        raise SpecError(f"budget: {value} adds to a limit, but of {NAMES[limit]} there is none (limited: {limits})")
    yield {"kind": "budget", "limit": limit, "was": before, "to": (before or 0) + number if more else number}


NAMES = {"trials": "trials", "steps": "epochs", "time_s": "time"}


def _amount(value: Any) -> tuple[str, bool, float]:
    """(limit, whether it is added, number) of `200`, "+50", "+10m", "+500 epochs"."""
    text = str(value).strip() if type(value) in (int, str) and len(str(value)) < 40 else ""
    if (match := _COUNT.fullmatch(text)) and int(match[2]) > 0:
        unit = match[3] or "trials"
        return "trials" if unit.startswith("trial") else "steps", match[1] == "+", int(match[2])
    if (match := _DURATION.fullmatch(text.replace(" ", ""))) and any(match.groups()[1:]):
        units = zip(match.groups()[1:], (86400, 3600, 60, 1), strict=True)
        if 0 < (seconds := math.fsum(float(n) * unit for n, unit in units if n)) < 1e10:
            return "time_s", match[1] == "+", seconds
    raise SpecError(f"budget: needs a number such as 200 or +50 (trials), +10m (time), +500 epochs; got {value!r:.50}")


def _narrow(value: Any, history: History) -> Iterator[Edit]:
    if not isinstance(value, dict) or not value:
        raise SpecError(f'narrow: needs a mapping such as {{"lr": [1e-4, 1e-2]}}, got {str(value)[:50]!r}')
    space = history.space
    for name, to in value.items():
        if not isinstance(to, list):
            raise SpecError(f"narrow: {name}: needs a list, [low, high] or the values that are kept, got {to!r:.50}")
        space = narrowed(space, name, to)
        yield {"kind": "narrow", "name": name, "to": to}


EDITS: dict[str, Callable[[Any, History], Iterator[Edit]]] = {
    "add": _add,
    "stop": _stop,
    "pin": _pin,
    "pause": _pause,
    "resume": _resume,
    "budget": _budget,
    "narrow": _narrow,
}
"""{key of a request: its edits}."""


def in_words(edit: Edit) -> str:
    """What an edit has done, for people: `trial 12 ends with its next report`."""
    match edit["kind"]:
        case "add":
            return "a config was added; it is tried next"
        case "stop":
            return f"trial {edit['trial']} ends with its next report"
        case "pin":
            return f"no stopper ends trial {edit['trial']}"
        case "pause":
            return "paused: nothing new begins; trials that run go on"
        case "resume":
            return "resumed"
        case "budget":
            number = f"{edit['to']:g} s" if edit["limit"] == "time_s" else f"{edit['to']}"
            return f"the budget of {NAMES[edit['limit']]} is {number} now"
        case "narrow":
            low_high = len(edit["to"]) == 2 and all(isinstance(end, int | float) for end in edit["to"])
            shown = f"[{edit['to'][0]:g}, {edit['to'][1]:g}]" if low_high else ", ".join(map(str, edit["to"]))
            return f"{edit['name']} is limited to {shown}"
        case _:
            return f"{edit['kind']}"
