"""What a training function hands back: nothing, its result, a generator of results, or a coroutine of one of these."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from automl.core.messages import as_number
from automl.errors import NoReport, TaskError
from automl.worker.trial import TrialStopped, call_of

if TYPE_CHECKING:
    from automl.worker.trial import Trial


def completed(result: object, trial: "Trial") -> object:
    """Run to its end what the function has begun: a coroutine, or a generator whose values are reports.

    Returns:
        what it returned.
    """
    if inspect.iscoroutine(result):
        return completed(_awaited(result), trial)
    if inspect.isasyncgen(result):
        return _awaited(_each_later(result, trial))
    if inspect.isgenerator(result):
        return _each(result, trial)
    return result


def report_result(result: object, trial: "Trial", name: str) -> None:
    """Report what a function returned, unless it has reported before: then it may return what it likes.

    Args:
        result: a number is the study's metric; a mapping is metrics by name.
        name: of the function, for the message.

    Raises:
        NoReport: there is no result.
    """
    if trial.reported:
        return
    trial.horizon = trial.last_step  # it has run its full length, whenever the time of the search is used up
    if isinstance(result, Mapping) and result:
        trial.report(trial.last_step, result)
    elif (number := as_number(result)) is not None:
        trial.report(trial.last_step, {trial.metric: number})
    else:
        returned = "" if result is None else f" (it returned a {type(result).__name__})"
        raise NoReport(f"{name} ended without reporting {trial.metric}{returned}. {remedy(trial.metric)}")


def remedy(metric: str) -> str:
    """How to report."""
    return f"Call trial.report({call_of(metric, 'value')}) after each epoch, or end the function with: return value"


def _report(value: object, trial: "Trial") -> None:
    """Report what a generator has yielded; None is nothing.

    Raises:
        TaskError: it is neither a number nor a mapping of metrics.
    """
    if value is None:
        return
    if isinstance(value, Mapping):
        trial.report(value)
    elif (number := as_number(value)) is not None:
        trial.report({trial.metric: number})
    else:
        raise TaskError(f"the training function yielded a {type(value).__name__}; yield a number or a dict of metrics")


def _each(generator: Generator[object, Any, object], trial: "Trial") -> object:
    """Report each value that the generator yields; a trial that is stopped ends inside it. Returns its result."""
    while True:
        try:
            value = next(generator)
        except StopIteration as end:
            return end.value
        try:
            _report(value, trial)
        except TrialStopped as stop:
            with suppress(StopIteration):  # it may catch this
                generator.throw(stop)
            raise


async def _each_later(generator: AsyncGenerator[object, Any], trial: "Trial") -> None:
    try:
        async for value in generator:
            _report(value, trial)
    finally:
        await generator.aclose()


def _awaited(coroutine: Coroutine[Any, Any, object]) -> object:
    """What the coroutine returns; in a thread of its own where this one runs an event loop already (a notebook's)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return _in_thread(lambda: asyncio.run(coroutine))


def _in_thread(call: Callable[[], object]) -> object:
    """What the call returns or raises, made in a thread that this one waits for."""
    results: list[object] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised again below
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
