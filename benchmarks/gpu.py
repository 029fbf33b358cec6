"""Everything about speed that needs a GPU, in one command that ends within its limit: a table, and JSON with `--json`.

    python benchmarks/gpu.py --first-contact --json first.json   # under four minutes: the most questions first
    python benchmarks/gpu.py --json gpu.json                     # all parts, under eight minutes
    python benchmarks/gpu.py --tiny                              # the same code, tiny sizes, on any device

Parts: `graphs` (of each family: what the probe says, whether the step is recorded, microseconds of a replay, of what
the host does for an epoch, and of an evaluation), `rounds` (what trials really take: whole rounds of the engine, with
orders, keys, evaluation and report, against a plain eager loop), `oom` (memory for few lanes only: what is trained in
the end), `start` (a command `automl search`: seconds until its first report, and until its end), `throughput` (steps
only: lanes recorded and eager, against a plain loop and a CUDA-graphed single trial), `kernels` (Triton kernels and
without), `bits` (does a lane's last bit depend on its slot, its companions, the size of its bucket), `matrix` and
`families` (samples per second, share of the matrix peak, of every built-in family trained alone, not compiled),
`processes` (plain loops side by side, which share the GPU by time slices where no MPS runs).
On a GPU wall seconds, synchronized; on a CPU the process's own CPU seconds (`processes`, `start`: wall); the median of
three. Each part has a process and a time limit of its own, and the JSON is written after each: whatever happens to one,
the others are told.
"""

import argparse
import itertools
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
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
from automl.fused.engine import Engine
from automl.fused.modules.blueprint import Blueprint
from automl.fused.optim.launch import launched
from automl.fused.problem import Entry, Options, Problem
from automl.fused.sizing.probe import probe
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper, module_mode
from automl.fused.uniform.cuda_graph import StepGraphs
from automl.fused.uniform.epoch import Epoch, evaluate
from automl.fused.uniform.piece import PieceEpoch
from automl.models import build
from automl.training import Settings, Trainer
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


def graphs(at: Setting) -> list[Row]:
    """Of each family, with many lanes: is it fused and recorded, and what does a step take, on the GPU and the host?"""
    rows = []
    lanes = 4 if at.tiny else 64 if at.size == "gpu" else 8
    for case in [replace(one, samples=16 if at.tiny else 2048) for one in family_cases(replace(at, size="tiny"))]:
        if case.family == "sparse_mlp":  # its layout is drawn by the host
            continue
        config = {**case.config, **OWN, "batch_size": 32 if not at.tiny else 8}
        data = case.part().to(at.device)
        made = Blueprint(build(case.family), case.inputs, case.outputs, at.device, tf32=True)
        verdict = probe(made, config, case.kind, data)
        cohort = UniformCohort(made, dict(config))
        cohort.resize(lanes)
        for trial in range(lanes):
            cohort.admit(trial, config, trial, 1000, None)
        stepper, kept = cohort_stepper(cohort), StepGraphs(record=at.device.type == "cuda")
        first = stepper.pieces[0]
        with module_mode(cohort, batched=True, training=True):
            begun = time.perf_counter()
            piece = PieceEpoch(first, case.kind, data, recordable=True)
            at.sync()
            tables_s = time.perf_counter() - begun
            piece.train(kept.steps_of(piece))  # records
            begun = time.perf_counter()
            step = kept.steps_of(piece)
            at.sync()
            load_s = time.perf_counter() - begun
            step_s = at.seconds(lambda piece=piece, kept=kept: piece.train(kept.steps_of(piece))) - load_s  # type: ignore[misc]
        del step
        judged_s = at.seconds(lambda stepper=stepper, case=case, data=data: evaluate(stepper, case.kind, data))  # type: ignore[misc]
        rows.append({
            "family": case.family, "lanes": lanes, "fused": verdict.ok, "why not": verdict.reason,
            "not recorded": "; ".join(kept.refused), "us a step": 1e6 * step_s / piece.steps,
            "us of tables a step": 1e6 * (tables_s + load_s) / piece.steps, "us of an evaluation": 1e6 * judged_s,
            "kernels not used": "; ".join(f"{k}: {why}" for k, why in launched.refused.items()),
        })  # fmt: skip
    return rows


def rounds(at: Setting) -> list[Row]:
    """Trial-steps per second of whole rounds: everything that a search does for an epoch but talking to its driver."""
    rows = []
    for case in table_cases(at)[: 4 if at.size == "gpu" else 1]:
        plain = at.steps / at.seconds(plain_run(case, at, False))
        data = case.part()
        for lanes in at.lanes[1:]:
            problem = Problem(
                build(case.family), case.inputs, case.outputs, case.kind, data, data.head(512), own_factory=False
            )
            engine = Engine(problem, Options(fuse="require", device=str(at.device), max_parallel=1024, tf32=True))
            config = {**case.config, **OWN}
            entries = [Entry(t, {**config, "lr": 1e-3 * (1 + t / lanes)}, t, 1000) for t in range(lanes)]
            engine.admit(entries, together=True)
            steps = engine.run_epoch().lane_steps
            each = steps / at.seconds(engine.run_epoch)
            rows.append({"case": case.name, "lanes": lanes, "plain": plain, "whole rounds": each,
                         "x eager": each / plain, "peak MiB": at.peak()})  # fmt: skip
            del engine
    return rows


def oom(at: Setting) -> list[Row]:
    """Memory for a few lanes only: how many train in the end, and that all of them do."""
    if at.device.type != "cuda":
        return [{"remarks": "needs a GPU; tests/gpu_emulated/test_memory.py has memory end here"}]
    case = cases("mlp", [1024], [64])[0]
    data, lanes = case.part(), 64
    whole = torch.cuda.get_device_properties(at.device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2.0 * 2**30 / whole), at.device)
    problem = Problem(build(case.family), case.inputs, case.outputs, case.kind, data, data.head(512), own_factory=False)
    engine = Engine(problem, Options(fuse="require", device=str(at.device), tf32=True))
    told, admitted = "", 0
    try:
        for trial in range(lanes):
            engine.admit([Entry(trial, {**case.config, **OWN}, trial, 100)], together=True)
            admitted += 1
    except Exception as error:  # no room for more: that is what is to be seen
        told = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    report = engine.run_epoch()
    return [{"asked": lanes, "admitted": admitted, "trained": len(report.trials), "status": sorted(set(report.status)),
             "peak MiB": at.peak(), "told": told}]  # fmt: skip


def start(at: Setting) -> list[Row]:
    """`automl search` on the digits: seconds until the first event of a trial, and until its end."""
    trials, epochs = (3, 2) if at.tiny else (64, 20)
    spec = (
        f"model: mlp\ndata: digits\nepochs: {epochs}\nbudget: {{trials: {trials}}}\nmetric: val_accuracy\n"
        "strategy: random\nspace: {lr: {float: [1e-3, 1e-1], log: true}, width: 32}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "s.yaml").write_text(spec)
        events, log = Path(folder, "events"), Path(folder, "log")
        command = [
            sys.executable,
            "-c",
            "from automl.cli import main; main()",
            "search",
            "s.yaml",
            "--events",
            str(events),
        ]
        begun, first = time.perf_counter(), float("nan")
        with log.open("w") as out:
            process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
            while process.poll() is None:
                if first != first and events.exists() and '"trial"' in events.read_text():
                    first = time.perf_counter() - begun
                time.sleep(0.02)
        last = (log.read_text().strip().splitlines() or [""])[-1]
        return [{"exit code": process.returncode, "s to the first trial": first,
                 "s in all": time.perf_counter() - begun, "last line": last[:150]}]  # fmt: skip


def bits(at: Setting) -> list[Row]:
    """Trial 5 in its first slot and alone, in the last one beside many, in a larger bucket, and in a recorded step."""
    rows = []
    for case in table_cases(at):
        found = []
        for bucket, others, recording in ((8, (), False), (8, range(100, 107), False), (32, range(100, 131), False),
                                          (8, (), True)):  # fmt: skip
            made = Blueprint(build(case.family), case.inputs, case.outputs, at.device)
            cohort = UniformCohort(made, {**case.config, **OWN})
            cohort.resize(bucket)
            for trial in (*others, 5):
                cohort.admit(trial, {**case.config, **OWN, "lr": 1e-3 * (1 + trial % 7)}, trial, 9, None)
            kept = StepGraphs(record=at.device.type == "cuda") if recording else None
            Epoch(cohort_stepper(cohort), case.kind, case.part().to(at.device), at.steps, kept).train()
            found.append(cohort.snapshot(5).rows["param"])
        gaps = [float((found[0] - other).abs().max()) for other in found[1:]]
        rows.append({"case": case.name, "bitwise": torch.equal(*found[:2]), "other slot": gaps[0],
                     "larger bucket": gaps[1], "recorded": gaps[2]})  # fmt: skip
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
        share = speed * 1e12 / peak(str(at.device), used, False)
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
    return Trainer(build(case.family), prepared, {**case.config, **OWN}, 1000, 0, at.device,
                   Settings(compile="never"))  # fmt: skip


def _side_by_side(device: str, size: str, steps: int, start: Any, done: Any) -> None:
    at = Setting(torch.device(device), size, steps, ())
    run = plain_run(table_cases(at)[0], at, False)
    run()
    at.sync()
    start.wait(timeout=60)
    begin = time.perf_counter()
    run()
    at.sync()
    done.put(steps / (time.perf_counter() - begin))


def processes(at: Setting) -> list[Row]:
    """Trial-steps per second of several plain loops on the one device."""
    rows: list[Row] = []
    made = multiprocessing.get_context("forkserver")  # torch is imported once; CUDA is not touched there
    for number in {"tiny": (2,), "cpu": (1, 2), "gpu": (1, 2, 4, 8)}[at.size]:
        start, done = made.Barrier(number), made.Queue()
        given = (str(at.device), at.size, 10 * at.steps, start, done)
        running = [made.Process(target=_side_by_side, args=given, daemon=True) for _ in range(number)]
        for process in running:
            process.start()
        total = sum(done.get(timeout=60) for _ in running)
        for process in running:
            process.join()
        rows.append({"processes": number, "trial-steps/s in all": total})
    return rows


PARTS: dict[str, Callable[[Setting], list[Row]]] = {
    "graphs": graphs, "rounds": rounds, "oom": oom, "start": start, "throughput": throughput, "kernels": kernels,
    "bits": bits, "matrix": matrix, "families": families, "processes": processes,
}  # fmt: skip
LIMITS_S = {"graphs": 70, "rounds": 70, "oom": 30, "start": 50, "throughput": 90, "kernels": 60, "bits": 30,
            "matrix": 20, "families": 40, "processes": 20}  # fmt: skip
"""Seconds that a part may take, with its start; 230 s for the parts of the first contact, 480 s in all."""
FIRST_CONTACT = ("graphs", "rounds", "oom", "start")


def setting(tiny: bool) -> Setting:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = "tiny" if tiny else "gpu" if device.type == "cuda" else "cpu"
    steps, lanes = {"tiny": (3, (2, 4)), "cpu": (6, (1, 8, 32)), "gpu": (40, (1, 8, 32, 128, 512))}[size]
    return Setting(device, size, steps, lanes)


def told_by_a_process(part: str, tiny: bool, limit_s: float) -> list[Row]:
    """The rows of a part that runs in a process of its own; what went wrong is a row, too."""
    command = [sys.executable, __file__, "--one", part, *(["--tiny"] if tiny else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return [{"failed": f"it took longer than {limit_s:.0f} s"}]
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return [{"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}]
    rows: list[Row] = json.loads(lines[-1])
    return rows


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on any device")
    parser.add_argument("--first-contact", action="store_true", help=f"only {', '.join(FIRST_CONTACT)}")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0, help="it ends by then, whatever is not done")
    parser.add_argument("--json", type=Path, help="also write everything there, after each part")
    parser.add_argument("--one", choices=list(PARTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(PARTS[given.one](setting(given.tiny))))
        return
    begun, told, slow = time.perf_counter(), {}, 1.0 if torch.cuda.is_available() else 8.0
    name = torch.cuda.get_device_properties(0).name if torch.cuda.is_available() else "CPU"
    for part in FIRST_CONTACT if given.first_contact else given.parts:
        left = 60 * given.minutes * slow - (time.perf_counter() - begun)
        if left < 5:
            print(f"\n## {part}: left out, {given.minutes} minutes are over")
            continue
        rows = told_by_a_process(part, given.tiny, min(LIMITS_S[part] * slow, left))
        told[part] = rows
        print(f"\n## {part} ({name}, torch {torch.__version__})\n")
        print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(shown(v) for v in row.values()) + " |", flush=True)
        if given.json:
            given.json.write_text(json.dumps({"device": name, "torch": torch.__version__, **told}, indent=1))


if __name__ == "__main__":
    main()
