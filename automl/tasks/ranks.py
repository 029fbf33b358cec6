"""One trial on several devices: the worker's process is rank 0, a `Crew` holds the processes of the other ranks.

Rank 0 evaluates, reports and saves; the others live as long as the session and follow it from trial to trial:

    rank 0     Crew.begin(config, ...)     Crew.epoch(solo)        Crew.begin(next config, ...)
    others     Solo(config, ...)           solo.train_epoch()      Solo(next config, ...)

Where the model is sharded, the others also take part in evaluating it and in gathering its weights and its state.
"""

import contextlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from automl.core.space import Value
from automl.errors import EnvironmentProblem
from automl.worker.failures import sendable

if TYPE_CHECKING:
    from automl.tasks.described import DescribedTask
    from automl.training import Solo
    from automl.training.distributed.ddp import Rank

JOIN_S = 10.0


class Crew:
    """The processes of ranks 1, 2, ... of a task's trials; this process is rank 0.

    `devices`: one for each rank; the first is this process's.
    """

    def __init__(self, task: "DescribedTask", devices: tuple[str, ...]) -> None:
        from automl.training.distributed.ddp import Rank

        self.devices, self.rank = devices, Rank(0, len(devices))
        self._task = cloudpickle.dumps(task)
        self._members: list[tuple[BaseProcess, Connection]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # where the ranks meet

    def begin(
        self, make: "Callable[[Rank], Solo]", config: Mapping[str, Value], epochs: int, seed: int, state: Any
    ) -> "Solo":
        """A trainer made here by `make` and by the other ranks too; those are started where they do not run yet.

        `state`: a saved one that all go on from, or None.
        """
        if not self._members or not all(process.is_alive() for process, _ in self._members):
            self.close()
            self._start()
        self._tell("begin", config, epochs, seed)
        with self._watched():
            solo = make(self.rank)
            if state is not None:
                self._tell("load", _outline(state) if solo.sharded else state)
                solo.load(state)
        return solo

    def epoch(self, solo: "Solo") -> dict[str, float]:
        """All ranks train an epoch; this one's report."""
        self._tell("epoch")
        with self._watched():
            return solo.epoch()

    def weights(self, solo: "Solo") -> dict[str, Any]:
        """Its weights to keep."""
        return self._gathered(solo, "weights")

    def state(self, solo: "Solo") -> dict[str, Any]:
        """Its state to go on from, on any number of devices."""
        return self._gathered(solo, "state")

    def _gathered(self, solo: "Solo", word: str) -> dict[str, Any]:
        """What a method of the trainer's gives; where the model is sharded, all ranks call it."""
        if solo.sharded:
            self._tell(word)
        with self._watched():
            found: dict[str, Any] = getattr(solo, word)()
        return found

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """An error inside is told as that of the rank it began in; after one the other ranks are dismissed."""
        try:
            yield
        except Exception as error:
            found = self._error()
            self.close()
            if found is not None:
                raise found from error
            raise

    def close(self) -> None:
        """End the other ranks."""
        for _, pipe in self._members:
            pipe.close()
        for process, _ in self._members:
            process.terminate()
            process.join(JOIN_S)
            if process.is_alive():
                process.kill()
        if self._members:
            _leave()
        self._members = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _start(self) -> None:
        context = get_context("spawn")
        backend = "nccl" if self.devices[0].startswith("cuda") else "gloo"
        self._folder = tempfile.TemporaryDirectory()
        meeting = Path(self._folder.name) / "meeting"
        for rank, device in enumerate(self.devices[1:], start=1):
            ours, theirs = context.Pipe()
            place = (replace(self.rank, rank=rank), device, backend, str(meeting))
            process = context.Process(target=_member, args=(self._task, place, theirs, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))
        _join(self.rank, self.devices[0], backend, str(meeting))

    def _tell(self, *words: Any) -> None:
        message = pickle.dumps(words)  # not `send`: it would share the tensors' memory, and both would train on it
        for _, pipe in self._members:
            try:
                pipe.send_bytes(message)
            except OSError:
                raise self._error() or EnvironmentProblem("a process of this trial's other devices has died") from None

    def _error(self) -> Exception | None:
        """What another rank failed with, None where none did."""
        for _, pipe in self._members:
            with contextlib.suppress(EOFError, OSError):
                if pipe.poll(1.0):
                    found: Exception = pipe.recv()
                    return found
        return None


def _join(rank: "Rank", device: str, backend: str, meeting: str) -> None:
    import torch
    from torch import distributed as dist

    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        torch.cuda.init()  # type: ignore[no-untyped-call]  # else a mesh of devices would choose by itself
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank.rank, world_size=rank.world)


def _leave() -> None:
    from torch import distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _member(task: bytes, place: "tuple[Rank, str, str, str]", pipe: Connection, parent: int) -> None:
    """What the process of a rank other than 0 does until its pipe is closed."""
    from automl.training import Settings, Solo

    rank, device, backend, meeting = place
    try:
        made: DescribedTask = cloudpickle.loads(task)
        session, settings = made.open((device,)), Settings(**made.settings)
        _join(rank, device, backend, meeting)
        solo: Solo | None = None
        while os.getppid() == parent:
            word, *given = pickle.loads(pipe.recv_bytes())
            if word == "begin":
                config, epochs, seed = given
                solo = Solo(session.build, session.data_of(config), config, epochs, seed, device, settings, rank)
            elif solo is not None:
                _follow(solo, word, *given)
    except EOFError:
        return
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(sendable(error))


def _outline(state: dict[str, Any]) -> dict[str, Any]:
    from automl.training.distributed.fsdp import outline

    return outline(state)


def _follow(solo: "Solo", word: str, *given: Any) -> None:
    """Do what rank 0 does, as far as it takes all ranks."""
    if word == "load":
        solo.load(*given)
    elif word == "epoch" and not solo.sharded:
        solo.train_epoch()
    else:  # epoch, weights, state
        getattr(solo, word)()
