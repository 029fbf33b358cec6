"""One trial on several devices: the worker's process is rank 0, a `RankGroup` holds the processes of the other ranks.

Rank 0 reports and saves; the others live as long as the session and follow it from trial to trial:

    rank 0     RankGroup.begin(config, ...)     RankGroup.epoch(trainer)     RankGroup.begin(next config, ...)
    others     Trainer(config, ...)                trainer.epoch()              Trainer(next config, ...)

All train and evaluate their share of the rows. Where the model is sharded, the others also take part in gathering its
weights and its state.
"""

import contextlib
import os
import pickle
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from automl.core.space import Value
from automl.errors import EnvironmentProblem
from automl.tasks.recipe import PreparedData, Recipe
from automl.worker.failures import sendable

if TYPE_CHECKING:
    from automl.training import Trainer
    from automl.training.distributed.ddp import Rank

MEET_S = 600.0
"""How long ranks wait for one another before torch gives up; a rank that fails is noticed at once."""
JOIN_S = 10.0
"""How long a process may take to end before it is killed."""


class RankGroup:
    """The processes of ranks 1, 2, ... of a recipe's trials; this process is rank 0.

    Args:
        recipe: what is trained.
        devices: one for each rank; the first is this process's.
    """

    def __init__(self, recipe: Recipe, devices: tuple[str, ...]) -> None:
        from automl.training.distributed.ddp import Rank

        self.devices, self.rank = devices, Rank(0, len(devices))
        self._recipe = cloudpickle.dumps(recipe)
        self._others: list[tuple[BaseProcess, Connection]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # where the ranks meet

    def begin(
        self, make: "Callable[[Rank], Trainer]", config: Mapping[str, Value], epochs: int, seed: int, state: Any
    ) -> "Trainer":
        """Make a trainer for a trial, here and in the other ranks; starts their processes if they do not run.

        Args:
            make: makes the trainer of this rank.
            config, epochs, seed: of the trial, for the other ranks.
            state: a saved state that all ranks go on from, or None.

        Returns:
            The trainer of this rank.
        """
        if not self._others or not all(process.is_alive() for process, _ in self._others):
            self.close()
            self._start()
        self._send("begin", config, epochs, seed)
        with self._failing_together():
            trainer = make(self.rank)
            if state is not None:
                self._send("load", _outline(state) if trainer.sharded else state)
                trainer.load(state)
        return trainer

    def epoch(self, trainer: "Trainer") -> dict[str, float]:
        """Train and evaluate one epoch in all ranks; returns what they measured together."""
        self._send("epoch")
        with self._failing_together():
            return trainer.epoch()

    def weights(self, trainer: "Trainer") -> dict[str, Any]:
        """The weights to save; of a sharded model they are gathered from all ranks."""
        if trainer.sharded:
            self._send("weights")
        with self._failing_together():
            return trainer.weights()

    def state(self, trainer: "Trainer") -> dict[str, Any]:
        """The state to go on from, on any number of devices; gathered like the weights."""
        if trainer.sharded:
            self._send("state")
        with self._failing_together():
            return trainer.state()

    @contextlib.contextmanager
    def _failing_together(self) -> Iterator[None]:
        """If the block fails, stop the other ranks, and raise the error of the rank that failed first.

        With NCCL the block would wait for a rank that has failed until torch's own limit, ten minutes and more: so they
        are watched meanwhile.
        """
        try:
            with watched([end for process, pipe in self._others for end in (pipe, process.sentinel)]):
                yield
        except Exception as error:
            first = self._error()
            self.close()
            if first is not None:
                raise first from error
            raise

    def close(self) -> None:
        """End the other ranks."""
        for _, pipe in self._others:
            pipe.close()
        for process, _ in self._others:
            process.terminate()
            process.join(JOIN_S)
            if process.is_alive():
                process.kill()
        if self._others:
            _leave()
        self._others = []
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
            process = context.Process(target=_follow, args=(self._recipe, place, theirs, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            self._others.append((process, ours))
        with self._failing_together():  # one that dies while it imports would be waited for
            _join(self.rank, self.devices[0], backend, str(meeting))

    def _send(self, *words: Any) -> None:
        message = pickle.dumps(words)  # not `send`: it would share the tensors' memory, and both would train on it
        for _, pipe in self._others:
            try:
                pipe.send_bytes(message)
            except OSError:
                raise self._error() or EnvironmentProblem("a process of this trial's other devices has died") from None

    def _error(self) -> Exception | None:
        """The error that another rank failed with, None where none did."""
        for _, pipe in self._others:
            with contextlib.suppress(EOFError, OSError):
                if pipe.poll(1.0):
                    error: Exception = pipe.recv()
                    return error
        return None


@contextlib.contextmanager
def watched(ends: Sequence[Any], abort: Callable[[], None] | None = None) -> Iterator[None]:
    """While the block runs, wait for a rank that says something or ends: ranks only speak when they have failed.

    Args:
        ends: pipes and sentinels of the other ranks' processes.
        abort: has the block's communication fail; None: torch's, where it is NCCL's.
    """
    done, wake = connection.Pipe(duplex=False)

    def watch() -> None:
        if done not in connection.wait([*ends, done]):
            (abort or _abort)()

    thread = threading.Thread(target=watch, name="automl-ranks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        wake.close()
        thread.join(JOIN_S)
        done.close()


def _abort() -> None:
    """Have the collective that runs in this process fail. Gloo's fail by themselves."""
    from torch import distributed as dist

    if dist.is_initialized() and dist.get_backend() == "nccl":
        dist.distributed_c10d._abort_process_group()


def _join(rank: "Rank", device: str, backend: str, meeting: str) -> None:
    """Make this process one of the ranks."""
    import torch
    from torch import distributed as dist

    own: dict[str, Any] = {}
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        torch.cuda.init()  # type: ignore[no-untyped-call]  # else a mesh of devices would choose by itself
        own["device_id"] = torch.device(device)
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank.rank, world_size=rank.world,
                            timeout=timedelta(seconds=MEET_S), **own)  # fmt: skip


def _leave() -> None:
    from torch import distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _follow(recipe: bytes, place: "tuple[Rank, str, str, str]", pipe: Connection, parent: int) -> None:
    """The process of a rank other than 0: does what rank 0 sends, until its pipe is closed."""
    from automl.training import Settings, Trainer

    rank, device, backend, meeting = place
    try:
        own: Recipe = cloudpickle.loads(recipe)
        build, data, settings = own.builder(), PreparedData(own), Settings(**own.settings)
        _join(rank, device, backend, meeting)
        trainer: Trainer | None = None
        while os.getppid() == parent:
            word, *given = pickle.loads(pipe.recv_bytes())
            if word == "begin":
                config, epochs, seed = given
                prepared = data.of(config)
                trainer = Trainer(build, prepared, config, epochs, seed, device, settings, rank,
                                  unit=own.unit_for(prepared), validation=own.validation(prepared))  # fmt: skip
            elif trainer is not None:
                _take_part(trainer, word, *given)
    except EOFError:
        return
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(sendable(error))


def _take_part(trainer: "Trainer", word: str, *given: Any) -> None:
    """Do what rank 0 does, as far as it takes all ranks."""
    match word:
        case "load":
            trainer.load(*given)
        case "epoch":
            trainer.epoch()
        case "weights":
            trainer.weights()
        case "state":
            trainer.state()


def _outline(state: dict[str, Any]) -> dict[str, Any]:
    from automl.training.distributed.fsdp import outline

    return outline(state)
