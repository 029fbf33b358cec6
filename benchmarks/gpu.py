"""Everything about speed that needs a GPU, in one command and under 8 minutes: a table, and JSON with `--json`.

    python benchmarks/gpu.py --json gpu.json         # on the GPU
    python benchmarks/gpu.py --parts matrix families # without a GPU: sizes for a CPU
    python benchmarks/gpu.py --tiny                  # the same code, tiny sizes, to see that it runs

Parts: `throughput` (lanes, recorded and eager, against a plain eager loop and a CUDA-graphed single trial), `kernels`
(recorded steps with Triton kernels and without), `memory` (two-point prediction against the truth), `bits` (does a
lane's last bit depend on its slot or companions), `matrix` and `families` (samples per second, share of the measured
matrix peak, peak memory of every built-in family, trained as a trial alone is), `processes` (plain loops side by side).
On a GPU wall seconds, synchronized; on a CPU the process's own CPU seconds (`processes`: wall); the median of three. A
part that fails says so and the others go on; a part that would start after `--minutes` is left out and named.
"""

import argparse
import itertools
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from fused_throughput import Case, cases
from torch import nn

from automl.data.prepared import Part, Prepared
from automl.data.shapes import Inputs, Outputs
from automl.fused.modules.blueprint import Blueprint
from automl.fused.optim.launch import launched
from automl.fused.sizing.timing import memory_limit
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper, module_mode
from automl.fused.uniform.cuda_graph import StepGraphs
from automl.fused.uniform.epoch import Epoch
from automl.fused.uniform.piece import PieceEpoch
from automl.models import build
from automl.training import Trainer
from automl.training.rules import RULES
from automl.training.throughput import operations, peak

Row = dict[str, Any]
OWN = {"lr": 1e-3, "label_smoothing": 0.1, "optimizer": "adamw"}


@dataclass(frozen=True)
class Setting:
    """Where and how much: `steps` timed per run, `lanes` to try."""

    device: torch.device
    size: str
    steps: int
    lanes: tuple[int, ...]

    @property
    def tiny(self) -> bool:
        return self.size == "tiny"

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object]) -> float:
        """Median seconds of three runs after one to warm up: wall time on a GPU, CPU time on a CPU."""
        clock = time.perf_counter if self.device.type == "cuda" else time.process_time
        run()
        times = []
        for _ in range(3):
            self.sync()
            begin = clock()
            run()
            self.sync()
            times.append(clock() - begin)
        return statistics.median(times)

    def peak(self) -> float:
        """Peak MiB since the last call: of the GPU, or of this process (Linux)."""
        if self.device.type != "cuda":
            return resident_peak()
        found = torch.cuda.max_memory_allocated(self.device) / 2**20
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        return round(found, 1)


def resident_peak() -> float:
    """Peak MiB of memory that this process held since the last call."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    return round(int(status.split("VmHWM:")[1].split()[0]) / 2**10, 1)


def lanes_run(
    case: Case, at: Setting, lanes: int, graphed: bool, optimizer: str = "adamw"
) -> tuple[Callable[[], None], int, StepGraphs | None]:
    """A function that trains at most `at.steps` steps of all lanes; how many they are; and their recorded steps.

    `graphed`: record the steps; without a GPU they run eagerly on the tables of a recorded step.
    """
    config = {**case.config, **OWN, "optimizer": optimizer}
    cohort = UniformCohort(Blueprint(build(case.family), case.inputs, case.outputs, at.device), config)
    cohort.resize(max(2, lanes))
    for j in range(lanes):
        cohort.admit(j, {**config, "lr": 1e-3 * (1 + j / lanes)}, j, 1000, None)
    stepper, data = cohort_stepper(cohort), case.part().to(at.device)
    graphs = StepGraphs(record=at.device.type == "cuda") if graphed else None
    pieces = [PieceEpoch(piece, case.kind, data, at.steps, recordable=graphed) for piece in stepper.pieces]

    def run() -> None:
        with module_mode(cohort, batched=stepper.batched, training=True):
            for piece in pieces:
                piece.train(None if graphs is None else graphs.steps_of(piece))

    return run, pieces[0].steps, graphs


def plain_run(case: Case, at: Setting, graphed: bool) -> Callable[[], None]:
    """One trial by a careful person's loop; `graphed` records its step (dropout by torch's graph-safe generator)."""
    torch.manual_seed(0)
    module, data = build(case.family)(case.config, case.inputs, case.outputs).to(at.device), case.part().to(at.device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True, capturable=at.device.type == "cuda")
    loss_of, batch = nn.CrossEntropyLoss(label_smoothing=0.1), int(str(case.config["batch_size"]))
    order = torch.randperm(len(data), device=at.device)[: len(data) // batch * batch].view(-1, batch)
    chosen = order[0].clone()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(module(data.x[chosen]).flatten(0, -2), data.y[chosen].flatten()).backward()
        optimizer.step()

    replay = recorded(step) if graphed else step

    def run() -> None:
        module.train()
        for s in range(at.steps):
            chosen.copy_(order[s % len(order)])
            replay()

    return run


def recorded(step: Callable[[], None]) -> Callable[[], None]:
    """`step` as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def table_cases(at: Setting) -> list[Case]:
    if at.tiny:
        return cases("mlp", [8], [8])
    return cases("all", [32, 128, 512] if at.size == "gpu" else [32], [32])


def throughput(at: Setting) -> list[Row]:
    """Trial-steps per second: lanes recorded and eager, against one plain trial, eager and recorded."""
    rows = []
    on_gpu = at.device.type == "cuda"
    for case in table_cases(at):
        plain = at.steps / at.seconds(plain_run(case, at, False))
        graphed = at.steps / at.seconds(plain_run(case, at, True)) if on_gpu else float("nan")
        for lanes in at.lanes:
            row: Row = {"case": case.name, "lanes": lanes, "plain": plain, "plain graphed": graphed}
            for name, recording in (("fused eager", False), ("fused graphed", True)):
                run, steps, graphs = lanes_run(case, at, lanes, recording)
                row[name] = lanes * steps / at.seconds(run)
            best = max(row["fused eager"], row["fused graphed"])
            rows.append({**row, "x eager": best / plain, "x graphed": best / graphed, "peak MiB": at.peak(),
                         "remarks": "; ".join(remarks(graphs))})  # fmt: skip
    return rows


def remarks(graphs: StepGraphs | None) -> list[str]:
    """Why steps could not be recorded, and which kernels could not be used."""
    unused = [f"{kernel} not used: {why}" for kernel, why in launched.refused.items()]
    return [f"not recorded: {why}" for why in (graphs.refused if graphs else [])] + unused


def kernels(at: Setting) -> list[Row]:
    """Lane-steps per second of recorded steps with Triton kernels and without."""
    rows, cases = [], table_cases(at)[:3]
    tried = [("adamw", case) for case in cases] + [
        (name, cases[0]) for name, rule in sorted(RULES.items()) if name != "adamw" and not rule.shaped
    ]
    for (optimizer, case), lanes in itertools.product(tried, at.lanes[1::2]):
        row: Row = {"case": case.name, "optimizer": optimizer, "lanes": lanes}
        told = [] if at.device.type == "cuda" else ["kernels need a GPU: torch's operations both times"]
        for name, context in (("with kernels", nullcontext()), ("without", launched.paused())):
            with context:
                run, steps, graphs = lanes_run(case, at, lanes, True, optimizer)
                row[name] = lanes * steps / at.seconds(run)
            told += [remark for remark in remarks(graphs) if remark not in told]
        rows.append({**row, "x": row["with kernels"] / row["without"], "remarks": "; ".join(told)})
    return rows


def memory(at: Setting) -> list[Row]:
    """Bytes per lane from two and four lanes, against the peak of many."""
    case = table_cases(at)[0]
    blueprint = Blueprint(build(case.family), case.inputs, case.outputs, at.device)
    limit, slope = memory_limit(blueprint, {**case.config, **OWN}, case.kind, case.part().to(at.device))
    at.peak()
    rows: list[Row] = []
    for lanes in at.lanes[-2:]:
        lanes_run(case, at, lanes, False)[0]()
        rows.append({"case": case.name, "lanes": lanes, "MiB per lane, predicted": slope / 2**20, "peak MiB": at.peak(),
                     "lanes that fit": limit})  # fmt: skip
    return rows


def bits(at: Setting) -> list[Row]:
    """Trial 5 in its first slot beside few others, and in its last slot beside many, in one bucket."""
    rows = []
    for case in table_cases(at):
        found = []
        for others in ((), range(100, 107)):
            made = Blueprint(build(case.family), case.inputs, case.outputs, at.device)
            cohort = UniformCohort(made, {**case.config, **OWN})
            cohort.resize(8)
            for trial in (*others, 5):
                cohort.admit(trial, {**case.config, **OWN, "lr": 1e-3 * (1 + trial % 7)}, trial, 9, None)
            Epoch(cohort_stepper(cohort), case.kind, case.part().to(at.device), at.steps).train()
            found.append(cohort.snapshot(5).rows["param"])
        gap = float((found[0] - found[1]).abs().max())
        rows.append({"case": case.name, "bitwise": torch.equal(*found), "largest difference": gap})
    return rows


def matrix(at: Setting) -> list[Row]:
    """Measured peak of a big matrix product, by number format: 10^12 operations a second."""
    n = {"tiny": 128, "cpu": 1024, "gpu": 8192}[at.size]
    rows: list[Row] = []
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(n, n, device=at.device, dtype=dtype) for _ in range(2))
        for tf32 in (False, True) if dtype is torch.float32 else (False,):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            spent = at.seconds(lambda a=a, b=b: torch.mm(a, b))  # type: ignore[misc]
            name = f"{str(dtype).removeprefix('torch.')}{' tf32' if tf32 else ''}"
            rows.append({"format": name, "TFLOP/s": 2 * n**3 / spent / 1e12})
    torch.backends.cuda.matmul.allow_tf32 = False
    return rows


def family_cases(at: Setting) -> list[Case]:
    """Every family at a size that means something on a big GPU, or on a core."""
    w, batch = {"tiny": (16, 8), "cpu": (128, 32), "gpu": (1024, 256)}[at.size]
    rows: list[tuple[str, Mapping[str, object], Inputs, Outputs, str]] = [
        ("mlp", {"width": 2 * w, "depth": 4}, Inputs((256,)), Outputs(10), "classification"),
        ("sparse_mlp", {"width": 2 * w, "depth": 4}, Inputs((256,)), Outputs(10), "classification"),
        ("convnet", {"width": w // 16 or 1}, Inputs((3, 32, 32)), Outputs(10), "classification"),
        ("transformer", {"width": w // 2, "depth": 4, "heads": 4}, Inputs((64,), "tokens", 256), Outputs(256, "tokens"),
         "next_token"),
        ("lstm", {"width": w // 2}, Inputs((32, 16)), Outputs(10), "classification"),
    ]  # fmt: skip
    return [Case(f, f, {**c, "batch_size": batch}, i, o, 2 * batch, k) for f, c, i, o, k in rows]


def families(at: Setting) -> list[Row]:
    """Samples per second of a trial alone, operations (see `throughput`), share of the measured peak."""
    rows = []
    for case in family_cases(at):
        at.peak()
        trainer = solo(case, at)
        trainer.train_epoch()
        spent = at.seconds(trainer.train_epoch)
        each = operations(build(case.family), case.config, case.inputs, case.outputs)
        assert each is not None  # the families can be built on torch's meta device
        speed = each * len(trainer.train) / spent / 1e12
        used = trainer.runner.format or torch.float32
        share = speed * 1e12 / peak(str(at.device), used)
        rows.append({"family": case.name, "format": str(used).removeprefix("torch."),
                     "samples/s": len(trainer.train) / spent, "TFLOP/s": speed, "share of peak": share,
                     "peak MiB": at.peak()})  # fmt: skip
    return rows


def solo(case: Case, at: Setting) -> Trainer:
    """The trainer of a trial alone; an epoch is `at.steps` batches."""
    batch = int(str(case.config["batch_size"]))
    made = replace(case, samples=batch * at.steps).part()
    part, target = Part(made.x, made.y), {"name": "y", "kind": case.kind}
    prepared = Prepared(case.inputs, case.outputs, case.kind, part, part, part, [], [], {"target": target}, "")  # type: ignore[arg-type]
    return Trainer(build(case.family), prepared, {**case.config, **OWN}, 1000, 0, at.device)


def _side_by_side(device: str, size: str, steps: int, start: Any, done: Any) -> None:
    at = Setting(torch.device(device), size, steps, ())
    run = plain_run(table_cases(at)[0], at, False)
    run()
    at.sync()
    start.wait()
    begin = time.perf_counter()
    run()
    at.sync()
    done.put(steps / (time.perf_counter() - begin))


def processes(at: Setting) -> list[Row]:
    """Trial-steps per second of several plain loops on the one device."""
    rows: list[Row] = []
    made = multiprocessing.get_context("spawn")
    for number in (1, 2, 4, 8) if at.size == "gpu" else (1, 2):
        start, done = made.Barrier(number), made.Queue()
        given = (str(at.device), at.size, 10 * at.steps, start, done)
        running = [made.Process(target=_side_by_side, args=given) for _ in range(number)]
        for process in running:
            process.start()
        total = sum(done.get(timeout=120) for _ in running)
        for process in running:
            process.join()
        rows.append({"processes": number, "trial-steps/s in all": total})
    return rows


PARTS: dict[str, Callable[[Setting], list[Row]]] = {
    "throughput": throughput, "kernels": kernels, "memory": memory, "bits": bits, "matrix": matrix,
    "families": families, "processes": processes,
}  # fmt: skip


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on any device")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=7.0, help="no part starts later than this")
    parser.add_argument("--json", type=Path, help="also write everything there")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = "tiny" if given.tiny else "gpu" if device.type == "cuda" else "cpu"
    steps, lanes = {"tiny": (3, (2, 4)), "cpu": (6, (1, 8, 32)), "gpu": (40, (1, 8, 32, 128, 512))}[size]
    at = Setting(device, size, steps, lanes)
    begin, told = time.perf_counter(), {}
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    for part in given.parts:
        if time.perf_counter() - begin > 60 * given.minutes:
            print(f"\n## {part}: left out, {given.minutes} minutes are over")
            continue
        try:
            rows = PARTS[part](at)
        except Exception as error:  # one part's trouble must not cost the others a rented GPU
            rows = [{"failed": f"{type(error).__name__}: {error}"}]
        told[part] = rows
        print(f"\n## {part} ({name}, torch {torch.__version__})\n")
        print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(shown(v) for v in row.values()) + " |", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"device": name, "torch": torch.__version__, **told}, indent=1))


if __name__ == "__main__":
    main()
