"""Trial-epochs per CPU second: fused lanes against a well-written plain loop, interleaved in one run.

    OMP_NUM_THREADS=1 python benchmarks/fused_throughput.py                 # the MLP table
    OMP_NUM_THREADS=1 python benchmarks/fused_throughput.py --models all    # and batch norm, ConvNet, ...

The plain loop keeps its tensors resident, has no DataLoader and takes the faster of torch's `fused` and `foreach`
optimizers. One process per core gives the plain loop's figure per core, so the ratio is also that against processes.
CPU time (`process_time`, one thread). A fused run is one epoch of its lanes with all that belongs to it (orders, keys,
schedules); the plain loop then trains for as long, so that both meet the same neighbours on a busy machine (the
least of `--repeats` short runs would be lucky more often than that of long ones). Ratios are medians over the repeats.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.modules.blueprint import Blueprint
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper
from automl.fused.uniform.epoch import Epoch
from automl.models import build
from automl.training.schedules import steps_per_epoch

STEPS, WINDOW = 45, 0.25  # most steps of an epoch that are run; least CPU seconds of a run


@dataclass(frozen=True)
class Case:
    """One row: a family, its config, one sample's layout and the number of samples."""

    name: str
    family: str
    config: Mapping[str, object]
    inputs: Inputs
    outputs: Outputs
    samples: int
    kind: str = "classification"

    def part(self) -> Part:
        generator = torch.Generator().manual_seed(0)
        size = (self.samples, *self.inputs.shape)
        if self.inputs.kind == "tokens":
            x = torch.randint(0, int(self.inputs.vocabulary or 2), size, generator=generator)
        else:
            x = torch.rand(size, generator=generator)
        labels = (self.samples, self.inputs.shape[0]) if self.kind == "next_token" else (self.samples,)
        return Part(x, torch.randint(0, int(self.outputs), labels, generator=generator))


@dataclass(frozen=True)
class Row:
    """`plain`, `fused`: trial-epochs per CPU second. `peak_mib`: peak memory of the process so far."""

    case: str
    lanes: int
    plain: float
    fused: float
    ratio: float
    peak_mib: float


def cases(which: str, widths: list[int], batches: list[int], dropout: float = 0.2) -> list[Case]:
    digits = Inputs((64,)), Outputs(10), 1437
    made = [
        Case(f"mlp {w}, batch {b}", "mlp", {"width": w, "batch_size": b, "dropout": dropout}, *digits)
        for w in widths for b in batches
    ]  # fmt: skip
    if which == "all":
        normed = {"width": 64, "batch_size": 32, "dropout": 0.2, "norm": "batch"}
        image, text = Inputs((1, 28, 28)), Inputs((32,), "tokens", 65)
        sequence = Inputs((28, 28))
        small = {"width": 32, "depth": 2, "heads": 4, "batch_size": 16, "dropout": 0.1}
        recurrent = {"width": 32, "batch_size": 32, "bidirectional": False}
        made += [
            Case("mlp 64, batch norm", "mlp", normed, *digits),
            Case("convnet 8", "convnet", {"width": 8, "stages": 2, "batch_size": 32}, image, Outputs(10), 512),
            Case("transformer 32", "transformer", small, text, Outputs(65, "tokens"), 512, "next_token"),
            Case("lstm 32", "lstm", recurrent, sequence, Outputs(10), 512),
        ]  # fmt: skip
    return made


def plain_epoch(case: Case, data: Part, fused: bool) -> Callable[[int], None]:
    """The loop a careful person writes; the returned function trains some steps."""
    torch.manual_seed(0)
    module = build(case.family)(case.config, case.inputs, case.outputs)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=fused, foreach=None if fused else True)
    loss_of, batch = nn.CrossEntropyLoss(label_smoothing=0.1), int(str(case.config["batch_size"]))

    def run(steps: int) -> None:
        module.train()
        order = torch.randperm(len(data))
        for s in range(steps):
            chosen = order[s * batch : (s + 1) * batch]
            optimizer.zero_grad(set_to_none=True)
            out = module(data.x[chosen])
            loss_of(out.flatten(0, -2), data.y[chosen].flatten()).backward()
            optimizer.step()

    return run


def fused_epoch(case: Case, data: Part, lanes: int) -> Callable[[int], None]:
    """`lanes` trials with their own learning rate, dropout and smoothing; the returned function trains some steps."""
    blueprint = Blueprint(build(case.family), case.inputs, case.outputs, torch.device("cpu"))
    cohort = UniformCohort(blueprint, dict(case.config))
    cohort.resize(lanes)
    drop = float(str(case.config.get("dropout", 0.0)))
    for j in range(lanes):
        own = {"lr": 1e-3 * (1 + j / lanes), "label_smoothing": 0.1, "dropout": drop * (0.5 + j / lanes)}
        cohort.admit(j, {**case.config, **own}, j, 1000, None)
    stepper = cohort_stepper(cohort)

    def run(steps: int) -> None:
        Epoch(stepper, case.kind, data, steps).train()

    return run


def seconds(run: Callable[[int], None], steps: int) -> float:
    begin = time.process_time()
    run(steps)
    return time.process_time() - begin


def window(run: Callable[[int], None], steps: int, epochs: int) -> float:
    """CPU seconds per epoch over `epochs` of them."""
    return sum(seconds(run, steps) for _ in range(epochs)) / epochs


def measure(case: Case, lane_counts: list[int], repeats: int) -> list[Row]:
    """All variants of one case, taking turns."""
    data = case.part()
    whole = steps_per_epoch(case.samples, int(str(case.config["batch_size"])))
    steps = min(whole, STEPS)
    both = [plain_epoch(case, data, kind) for kind in (True, False)]
    plain = min(both, key=lambda run: min(seconds(run, steps) for _ in range(3)))
    rows = []
    for lanes in lane_counts:
        fused, pairs = fused_epoch(case, data, lanes), []
        epochs = max(1, round(WINDOW / seconds(fused, steps)))
        for _ in range(repeats):
            spent = window(fused, steps, epochs)
            one = seconds(plain, steps)
            pairs.append((window(plain, steps, max(1, round(spent * epochs / one))) * whole / steps,
                          spent / lanes * whole / steps))  # fmt: skip
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        a, b = (1 / statistics.median(times) for times in zip(*pairs, strict=True))
        rows.append(Row(case.name, lanes, a, b, statistics.median(p / f for p, f in pairs), peak))
        a, b, ratio = rows[-1].plain, rows[-1].fused, rows[-1].ratio
        print(f"| {case.name} | {lanes} | {a:.1f} | {b:.1f} | {ratio:.2f}x | {peak:.0f} |", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", choices=["mlp", "all"], default="mlp")
    parser.add_argument("--widths", type=int, nargs="*", default=[32, 128, 512])
    parser.add_argument("--batches", type=int, nargs="*", default=[32, 256])
    parser.add_argument("--dropout", type=float, default=0.2, help="of the MLPs")
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 8, 32, 128])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print("| model | lanes | plain, trial-epochs/s | fused | ratio | peak MiB |\n|---|---|---|---|---|---|")
    rows = [
        row
        for case in cases(given.models, given.widths, given.batches, given.dropout)
        for row in measure(case, given.lanes, given.repeats)
    ]
    if given.json:
        told = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
        given.json.write_text(json.dumps({**told, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
