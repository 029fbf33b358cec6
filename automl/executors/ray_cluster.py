"""Workers on the machines of a Ray cluster. Ray places them, notices dead nodes and carries messages and data.

Driver, strategies, stoppers and ledger are the same as for local workers, and each actor runs the same worker loop as
a local process (`ray_actors`). Ray's own retries are off: attempts are counted by the study.
"""

import math
import os
import sys
import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automl.core.messages import PREEMPTED, Broken, Event, Lost, Order, Shutdown
from automl.driver.executor import Executor, Handle
from automl.errors import EnvironmentProblem, SpecError, TaskError
from automl.executors import ray_connect
from automl.executors.ray_actors import MARK, Answer, Mailbox, Placed, RayWorker
from automl.study import paths
from automl.version import __version__
from automl.worker.link import Place
from automl.worker.worker import Task

CRASHES_AT_START = 3
DEATHS_S = 0.2  # between two checks for nodes that leave and workers that have died
GROW_S = 2.0  # between two checks for machines that have joined
MANY = 1_000_000  # calls the mailbox may have in flight: one waits for each worker
NOWHERE = "waits for a node"


@dataclass
class _Actor:
    """One worker: the actor of its present life."""

    actor: Any
    run: Any  # the future of its `work`
    life: int
    device: str = NOWHERE
    node: str = ""  # Ray's id of the node it is on
    spoke: bool = False
    crashes: int = 0
    gone: bool = False


@dataclass
class RayCluster(Executor):
    """Runs workers as actors of a Ray cluster.

    Workers for which there is no room wait for it, so machines that join are used; if no number of workers is given,
    there are as many as fit.

    Args:
        address: of the cluster; else `RAY_ADDRESS`; else Ray is started on this machine.
        gpus: GPUs of a worker. 2: its trials train on both; 0.5: two workers share one; None: one, if there are any.
        cpus: CPUs of a worker.
        insecure: use a cluster, here or elsewhere, although it does not ask for a token.
    """

    address: str = ""
    gpus: float | None = None
    cpus: float = 1.0
    insecure: bool = False
    _actors: list[_Actor] = field(default_factory=list, init=False)
    _answers: list[Answer] = field(default_factory=list, init=False)
    _lives: dict[int, int] = field(default_factory=dict, init=False)  # new lives, not yet told to the mailbox
    _shares: list[Any] = field(default_factory=list, init=False)  # a placement group for each GPU that is shared
    _cleanup: ExitStack = field(default_factory=ExitStack, init=False)
    _ray: Any = field(default=None, init=False)
    _mailbox: Any = field(default=None, init=False)
    _task: Any = field(default=None, init=False)
    _folder: Path | None = field(default=None, init=False)
    _mark: str = field(default="", init=False)
    _grows: bool = field(default=False, init=False)
    _looked: float = field(default=0.0, init=False)
    _counted: float = field(default=0.0, init=False)
    _drained: frozenset[str] = field(default=frozenset(), init=False)  # nodes that will be taken away, or were

    def __post_init__(self) -> None:
        if self.gpus is not None and (self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus))):
            raise SpecError(f"ray: gpus is a share of one GPU or a whole number of them, got {self.gpus:g}")
        if self.cpus < 0:
            raise SpecError(f"ray: cpus must not be negative, got {self.cpus:g}")

    # -- begin and end -------------------------------------------------------------------------------------------------

    def start(self, task: Task, workers: int, folder: Path | None) -> int:
        ray = self._ray = ray_connect.load()
        loaded = task.with_data()
        if ray_connect.connect(ray, self.address, insecure=self.insecure, cpus=workers * self.cpus):
            self._cleanup.callback(ray_connect.disconnect, ray)
        self._cleanup.enter_context(ray_connect.quiet(ray))
        if self.gpus is None:
            self.gpus = float(any(node.get("GPU", 0) for node in self._nodes()))
        capacity = self._capacity()
        if not capacity:
            resources = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in self._nodes())
            needs = f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"
            raise EnvironmentProblem(f"no node of the Ray cluster can hold a worker with {needs} (nodes: {resources})")
        self._folder, self._mark = folder.absolute() if folder else None, uuid.uuid4().hex
        if self._folder is not None:
            (self._folder / MARK).write_text(self._mark)
        self._mailbox = ray.remote(Mailbox).options(
            num_cpus=0, max_concurrency=MANY, max_restarts=0, scheduling_strategy=self._here()
        ).remote()  # fmt: skip
        self._task = ray.put(loaded)
        self._grows = not workers
        self._actors = [self._spawn(worker, 1) for worker in range(workers or capacity)]
        return len(self._actors)

    def _here(self) -> Any:
        """A placement on the driver's node."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)

    def _spawn(self, worker: int, life: int) -> _Actor:
        options: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": 0}
        if self._per_gpu > 1:
            options["scheduling_strategy"] = self._share(worker // self._per_gpu)
        actor = self._ray.remote(RayWorker).options(**options).remote([entry or os.getcwd() for entry in sys.path])
        place = Place(worker, folder=self._folder)
        run = actor.work.remote(self._task, self._mailbox, place, life, __version__, self._mark)
        self._lives[worker] = life
        return _Actor(actor, run, life)

    @property
    def _per_gpu(self) -> int:
        """How many workers share a GPU; 1 where none is shared."""
        return math.floor(1 / self.gpus + 1e-9) if self.gpus and self.gpus < 1 else 1

    def _share(self, gpu: int) -> Any:
        """A placement on some GPU, for all workers that share it.

        Without it Ray would fill the first GPU of a node with workers before it uses the second one.
        """
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        while gpu >= len(self._shares):
            bundle = {"GPU": 1.0, "CPU": self.cpus * self._per_gpu}
            self._shares.append(self._ray.util.placement_group([bundle]))
        return PlacementGroupSchedulingStrategy(self._shares[gpu], 0)

    def _nodes(self) -> list[dict[str, float]]:
        """The resources of each living node."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _capacity(self) -> int:
        """Workers that fit on the cluster when nothing else runs there."""
        total = 0
        for node in self._nodes():
            by_cpu = node.get("CPU", 0) / self.cpus if self.cpus else math.inf
            by_gpu = math.inf
            if self.gpus:
                by_gpu = (
                    int(node.get("GPU", 0)) * self._per_gpu if self._per_gpu > 1 else node.get("GPU", 0) / self.gpus
                )
            total += int(min(by_cpu, by_gpu, MANY)) // self._per_gpu * self._per_gpu
        return total

    def stop(self, grace_s: float) -> None:
        if self._mailbox is not None:
            with suppress(self._ray.exceptions.RayError):  # the cluster is gone, and all workers with it
                self._end(grace_s)
            self._mailbox = None
        if self._folder is not None:
            (self._folder / MARK).unlink(missing_ok=True)
        self._actors, self._shares = [], []
        self._cleanup.close()

    def _end(self, grace_s: float) -> None:
        ray = self._ray
        live = [entry for entry in self._actors if not entry.gone]
        for worker, entry in enumerate(self._actors):
            if not entry.gone:
                self.send(worker, Shutdown())
        ray.get(self._mailbox.turn.remote(self._answers, self._lives, 0.0), timeout=10)
        placed = [entry.run for entry in live if entry.device != NOWHERE]
        if placed:
            ray.wait(placed, num_returns=len(placed), timeout=grace_s)
        for actor in (*(entry.actor for entry in live), self._mailbox):
            ray.kill(actor)
        for group in self._shares:
            ray.util.remove_placement_group(group)

    # -- messages ------------------------------------------------------------------------------------------------------

    def poll(self, handle: Handle, timeout_s: float) -> None:
        """Handle events, wait for some up to `timeout_s`.

        Raises:
            EnvironmentProblem: the cluster is gone.
        """
        try:
            self._turn(handle, timeout_s)
            now = time.monotonic()
            if now - self._looked > DEATHS_S:
                self._looked = now
                self._drained |= ray_connect.draining(self._ray)
                self._report_dead(handle)
            if self._grows and now - self._counted > GROW_S:
                self._counted = now
                for worker in range(len(self._actors), self._capacity()):
                    self._actors.append(self._spawn(worker, 1))
        except self._ray.exceptions.RayError as error:
            raise EnvironmentProblem(f"the Ray cluster is gone: {error}") from error

    def _turn(self, handle: Handle, timeout_s: float) -> None:
        """Give all answers to the mailbox and handle all letters from it."""
        answers, self._answers = self._answers, []
        lives, self._lives = self._lives, {}
        for worker, life, message in self._ray.get(self._mailbox.turn.remote(answers, lives, timeout_s)):
            entry = self._actors[worker]
            if life != entry.life:
                continue
            if isinstance(message, Placed):
                entry.device, entry.node = message.device, message.node
            else:
                entry.spoke = True
                event: Event = message
                handle(event)

    def _report_dead(self, handle: Handle) -> None:
        """Handle that workers have died, after the messages that they still sent."""
        runs = {entry.run: worker for worker, entry in enumerate(self._actors) if not entry.gone}
        if not runs:
            return
        ended, _ = self._ray.wait(list(runs), num_returns=len(runs), timeout=0, fetch_local=False)
        if ended:
            self._turn(handle, 0.0)
        for run in ended:
            worker = runs[run]
            entry = self._actors[worker]
            if entry.run == run:  # otherwise it has been replaced meanwhile
                entry.gone = True
                handle(self._death(worker, run))

    def _death(self, worker: int, run: Any) -> Event:
        """The message that a worker has died, and why."""
        exceptions = self._ray.exceptions
        try:
            self._ray.get(run)
        except exceptions.RayTaskError as error:
            return Broken(worker, TaskError(f"a worker cannot begin: {error.cause or error}"))
        except exceptions.RayError as error:
            if self.leaving(worker):
                return Lost(worker, "its node was taken away", PREEMPTED)
            return Lost(worker, self._why(error))
        return Lost(worker, "its process ended")

    def _why(self, error: Exception) -> str:
        text = str(error)
        if "node has died" in text or isinstance(error, self._ray.exceptions.NodeDiedError):
            return "its node left the Ray cluster"
        if isinstance(error, self._ray.exceptions.OutOfMemoryError) or "memory monitor" in text:
            return "its process was killed: the node was out of memory"
        if getattr(error, "actor_init_failed", False) or not isinstance(error, self._ray.exceptions.RayActorError):
            return f"Ray could not start it: {text.strip().splitlines()[-1][:500]}"
        return "its process died (killed, crashed, ended by os._exit, or with its node; Ray does not know which)"

    def send(self, worker: int, order: Order) -> None:
        self._answers.append((worker, self._actors[worker].life, order))

    def restart(self, worker: int) -> None:
        """Replace a worker by another actor.

        Raises:
            EnvironmentProblem: workers die before they send a message, several times in a row.
        """
        old = self._actors[worker]
        self._ray.kill(old.actor)
        placed = old.device != NOWHERE
        crashes = old.crashes + 1 if placed and not old.spoke else 0
        if crashes >= CRASHES_AT_START:
            raise EnvironmentProblem(f"worker {worker} died on {old.device} before it could work, {crashes} times")
        self._actors[worker] = replace(self._spawn(worker, old.life + 1), crashes=crashes)

    def leaving(self, worker: int) -> bool:
        return self._actors[worker].node in self._drained

    def recycle(self, worker: int) -> bool:
        self.restart(worker)
        return True

    def log(self, trial: int) -> str:
        file = f"{paths.LOGS}/{paths.log_name(trial)}"
        return file if self._folder and (self._folder / file).exists() else ""

    def device(self, worker: int) -> str:
        return self._actors[worker].device
