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


STREAMS = ("stdin", "stdout", "stderr", "displayhook", "excepthook", "unraisablehook", "breakpointhook")


def _streams() -> tuple[Any, ...]:
    return threading.excepthook, *(getattr(sys, name) for name in STREAMS)


def _set_streams(value: tuple[Any, ...]) -> None:
    threading.excepthook, *others = value
    for name, one in zip(STREAMS, others, strict=True):
        setattr(sys, name, one)


def _switches() -> tuple[Any, ...]:
    return sys.dont_write_bytecode, sys.get_int_max_str_digits(), vars(sys).get("tracebacklimit")


def _set_switches(value: tuple[Any, ...]) -> None:
    sys.dont_write_bytecode, digits, limit = value
    sys.set_int_max_str_digits(digits)
    vars(sys).pop("tracebacklimit", None)
    if limit is not None:
        sys.tracebacklimit = limit


def _threads() -> tuple[Any, ...]:
    return threading.stack_size(), threading.gettrace(), threading.getprofile()


def _set_threads(value: tuple[Any, ...]) -> None:
    threading.stack_size(value[0])
    threading.settrace(value[1])
    threading.setprofile(value[2])


def _warnings() -> tuple[list[Any], Any, Any]:
    return list(warnings.filters), warnings.showwarning, warnings.formatwarning


def _set_warnings(value: tuple[list[Any], Any, Any]) -> None:
    filters, warnings.showwarning, warnings.formatwarning = value
    warnings.resetwarnings()  # makes warnings that were shown once appear again
    warnings.filters[:] = filters  # type: ignore[index]


def _gc() -> tuple[Any, ...]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug(), list(gc.callbacks)


def _set_gc(value: tuple[Any, ...]) -> None:
    enabled, thresholds, debug, gc.callbacks[:] = value
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*thresholds)
    gc.set_debug(debug)


def _set_traces(value: tuple[Any, Any]) -> None:
    sys.settrace(value[0])
    sys.setprofile(value[1])


def _logger(one: logging.Logger) -> tuple[Any, ...]:
    return one.level, tuple(one.handlers), tuple(one.filters), one.propagate, one.disabled


def _loggers() -> dict[str, tuple[Any, ...]]:
    """Those that are not as a new one is: asking for one by name changes nothing."""
    known = logging.root.manager.loggerDict.items()
    named = {name: _logger(logger) for name, logger in known if isinstance(logger, logging.Logger)}
    return {"": _logger(logging.root), **{name: value for name, value in named.items() if value != NEW_LOGGER}}


NEW_LOGGER = (logging.NOTSET, (), (), True, False)


def _set_loggers(value: dict[str, tuple[Any, ...]]) -> None:
    for name in _loggers():
        logger = logging.getLogger(name) if name else logging.root
        level, logger.handlers[:], logger.filters[:], logger.propagate, logger.disabled = value.get(name, NEW_LOGGER)
        logger.setLevel(level)


def _logging() -> tuple[Any, ...]:
    levels = {number: logging.getLevelName(number) for number in range(101)}
    return logging.root.manager.disable, logging.getLoggerClass(), logging.raiseExceptions, levels


def _set_logging(value: tuple[Any, ...]) -> None:
    disabled, kind, logging.raiseExceptions, levels = value
    logging.disable(disabled)
    logging.setLoggerClass(kind)
    for number, name in levels.items():
        if logging.getLevelName(number) != name:
            logging.addLevelName(number, name)


def _traces() -> tuple[Any, Any]:
    return sys.gettrace(), sys.getprofile()


def _signals() -> tuple[Handler, ...]:
    return tuple(signal.getsignal(number) for number in SETTABLE)


def _set_signals(value: tuple[Handler, ...]) -> None:
    for number, handler in zip(SETTABLE, value, strict=True):
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _blocked() -> set[Any]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _set_blocked(value: set[Any]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, value)


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _set_priority(value: int) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, value)  # few users may raise it again


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
    Part("switches of sys", _switches, _set_switches),
    Part("builtins", _builtins, _set_builtins),
    Part("trace functions", _traces, _set_traces),
    Part("settings of threads", _threads, _set_threads),
    Part("garbage collection", _gc, _set_gc),
    Part("warnings", _warnings, _set_warnings),
    Part("loggers", _loggers, _set_loggers),
    Part("logging", _logging, _set_logging),
    Part("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
    Part("signals", _signals, _set_signals),
    *((Part("blocked signals", _blocked, _set_blocked),) if hasattr(signal, "pthread_sigmask") else ()),
    *((Part("the alarm", _alarm, _set_alarm),) if hasattr(signal, "setitimer") else ()),
    *((Part("limits of the process", _limits, _set_limits),) if sys.platform != "win32" else ()),
    *((Part("the priority", _priority, _set_priority),) if hasattr(os, "setpriority") else ()),
    *(
        (Part("the cores", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)),)
        if hasattr(os, "sched_getaffinity")
        else ()
    ),
    *LIBRARY_PARTS,
)
