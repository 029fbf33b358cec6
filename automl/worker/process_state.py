"""What a trial may change in its process and has to leave as it was: so that no trial reaches the next one.

A `Part` is one thing of that kind. `KeptState` remembers all parts of the libraries that are loaded, and sets back what
is different afterwards. What a module sets while it is imported stays, because it is not imported again.
"""

import gc
import locale
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any

from automl.worker.library_state import LIBRARY_PARTS, Part
from automl.worker.randomness import loaded

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
SETTABLE = sorted(signal.valid_signals() - {getattr(signal, "SIGKILL", None), getattr(signal, "SIGSTOP", None)})


@dataclass
class KeptState:
    """The state of this process, as the next trial has to find it."""

    values: dict[str, Any] = field(default_factory=lambda: _values({}))

    def import_begins(self) -> Callable[[], None]:
        """Call this before a module is imported, and what it returns after it: what the import changed then stays."""
        before = _values(self.values)

        def ends() -> None:
            for name, value in _values(before).items():
                if name not in before or value != before[name]:
                    self.values[name] = value

        return ends

    def restore(self) -> list[str]:
        """Set back what is different. Returns what could not be set back."""
        lasting = []
        for part in PARTS:
            if part.name not in self.values:
                continue
            try:
                if part.get() != self.values[part.name]:
                    part.set(self.values[part.name])
                    if part.get() != self.values[part.name]:
                        lasting.append(part.name)
            except Exception:  # whatever the trial did to this part
                lasting.append(part.name)
        return lasting


def _values(known: dict[str, Any]) -> dict[str, Any]:
    """The present value of each part whose library is loaded. `known`: values there were before."""
    values: dict[str, Any] = {}
    for part in PARTS:
        if part.library and not loaded(part.library):
            continue
        try:
            values[part.name] = part.get()
        except Exception:  # this version of the library does not have it; or it is broken already
            if part.name in known:
                values[part.name] = known[part.name]
    return values


# -- the parts of Python and of the process ----------------------------------------------------------------------------


def _set_environment(value: dict[str, str]) -> None:
    zone = os.environ.get("TZ")
    os.environ.clear()
    os.environ.update(value)
    if zone != os.environ.get("TZ") and hasattr(time, "tzset"):
        time.tzset()


def _umask() -> int:
    mask = os.umask(0o077)  # it cannot be read otherwise
    os.umask(mask)
    return mask


def _set_argv(value: list[str]) -> None:
    sys.argv = list(value)


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr, sys.displayhook, sys.excepthook, threading.excepthook, sys.breakpointhook


def _set_streams(value: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr, sys.displayhook, sys.excepthook, threading.excepthook, sys.breakpointhook = value


def _warnings() -> tuple[list[Any], Any, Any]:
    return list(warnings.filters), warnings.showwarning, warnings.formatwarning


def _set_warnings(value: tuple[list[Any], Any, Any]) -> None:
    filters, warnings.showwarning, warnings.formatwarning = value
    warnings.resetwarnings()  # has warnings that were shown once be shown again
    warnings.filters[:] = filters  # type: ignore[index]


def _set_gc(value: tuple[bool, tuple[int, int, int], int]) -> None:
    enabled, thresholds, debug = value
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*thresholds)
    gc.set_debug(debug)


def _set_traces(value: tuple[Any, Any]) -> None:
    sys.settrace(value[0])
    sys.setprofile(value[1])


def _loggers() -> dict[str, tuple[Any, ...]]:
    known = logging.root.manager.loggerDict.items()
    named = {name: logger for name, logger in known if isinstance(logger, logging.Logger)}
    return {
        "": (logging.root.level, tuple(logging.root.handlers), True, logging.root.manager.disable > 0),
        **{name: (one.level, tuple(one.handlers), one.propagate, one.disabled) for name, one in named.items()},
    }


def _set_loggers(value: dict[str, tuple[Any, ...]]) -> None:
    for name in _loggers():
        level, handlers, propagate, disabled = value.get(name, (logging.NOTSET, (), True, False))
        logger = logging.getLogger(name) if name else logging.root
        logger.setLevel(level)
        logger.handlers[:] = handlers
        if name:
            logger.propagate, logger.disabled = propagate, disabled
        elif not disabled:
            logging.disable(logging.NOTSET)


def _same_loggers() -> dict[str, tuple[Any, ...]]:
    """Without loggers that are as new ones are: asking for one by name changes nothing."""
    return {name: value for name, value in _loggers().items() if value != (logging.NOTSET, (), True, False)}


def _signals() -> tuple[Handler, ...]:
    return tuple(signal.getsignal(number) for number in SETTABLE)


def _set_signals(value: tuple[Handler, ...]) -> None:
    for number, handler in zip(SETTABLE, value, strict=True):
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _alarm() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _set_alarm(running: bool) -> None:
    if not running:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limits() -> tuple[tuple[int, int], ...]:
    import resource

    return tuple(resource.getrlimit(one) for one in _limit_names())


@cache
def _limit_names() -> list[int]:
    import resource

    return sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})


def _set_limits(value: tuple[tuple[int, int], ...]) -> None:
    import resource

    for one, (soft, hard) in zip(_limit_names(), value, strict=True):
        if resource.getrlimit(one) != (soft, hard):
            resource.setrlimit(one, (soft, hard))


def _set_builtins(value: dict[str, Any]) -> None:
    import builtins

    for name in vars(builtins).keys() - value.keys() - {"_"}:
        delattr(builtins, name)
    for name, one in value.items():
        setattr(builtins, name, one)


def _builtins() -> dict[str, Any]:
    import builtins

    return {name: value for name, value in vars(builtins).items() if name != "_"}


PARTS: tuple[Part, ...] = (
    Part("the current folder", os.getcwd, os.chdir),
    Part("the environment", lambda: dict(os.environ), _set_environment),
    Part("umask", _umask, os.umask),
    Part("sys.argv", lambda: list(sys.argv), _set_argv),
    Part("sys.path", lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    Part("sys.stdout and other streams and hooks", _streams, _set_streams),
    Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Part("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
    Part("builtins", _builtins, _set_builtins),
    Part("trace functions", lambda: (sys.gettrace(), sys.getprofile()), _set_traces),
    Part("garbage collection", lambda: (gc.isenabled(), gc.get_threshold(), gc.get_debug()), _set_gc),
    Part("warnings", _warnings, _set_warnings),
    Part("loggers", _same_loggers, _set_loggers),
    Part("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
    Part("signals", _signals, _set_signals),
    *((Part("the alarm", _alarm, _set_alarm),) if hasattr(signal, "setitimer") else ()),
    *((Part("limits of the process", _limits, _set_limits),) if sys.platform != "win32" else ()),
    *(
        (Part("the cores", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)),)
        if hasattr(os, "sched_getaffinity")
        else ()
    ),
    *LIBRARY_PARTS,
)
