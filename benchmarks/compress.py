"""`automl compress` beside what one does by hand: torch-pruning alone, ONNX dynamic int8 alone.

    OMP_NUM_THREADS=1 python benchmarks/compress.py [mlp] [convnet] [transformer] [--full] [--dir DIR] [--json FILE]

Each case trains one model with the product, compresses it with limits on what may be lost (0.3 points of accuracy, 0.02
nats), and prints the variants' table and, beside the chosen one, the two ways by hand. All scores in the second table
are on the test rows; change is that of the paired bootstrap. Times are milliseconds of one thread's CPU time for a call
with prepared rows. `--full` takes more rows and epochs.

By hand means: torch-pruning's `MagnitudePruner` with half of the units, as its page shows, then two epochs of Adam;
and `quantize_dynamic` on `torch.onnx.export`.
"""

import argparse
import gzip
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import automl
from automl.api import from_ledger
from automl.compression.measuring import count, latency_ms
from automl.compression.subject import Subject, one_thread
from automl.data.reading import sources
from automl.metrics import intervals

DATA = {
    "mlp": "data: mnist\nprepare: {rows: ROWS}", "convnet": "data: mnist\nprepare: {rows: ROWS}",
    "transformer": "data: text.txt\nprepare: {window: 64, tokens: char}",
}  # fmt: skip
SPACES = {
    "mlp": "{width: 1024, depth: 2, lr: 0.001, batch_size: 64, schedule: linear}",
    "convnet": "{stages: 3, depth: 1, width: 16, lr: 0.003, batch_size: 64, schedule: linear}",
    "transformer": "{depth: 2, width: 64, heads: 4, optimizer: muon, lr: 0.01, batch_size: 32, schedule: linear,"
    " warmup: 0.05, clip: 1.0}",
}
METRICS = {"mlp": "val_accuracy", "convnet": "val_accuracy", "transformer": "val_loss"}
LOSE = {"mlp": 0.003, "convnet": 0.003, "transformer": 0.02}
ROWS = {"mlp": (20_000, 70_000), "convnet": (6_000, 70_000), "transformer": (250_000, 2_000_000)}
EPOCHS = {"mlp": (6, 12), "convnet": (4, 12), "transformer": (6, 8)}
WAYS = {"mlp": None, "convnet": ["prune", "onnx", "int8"], "transformer": ["prune", "onnx", "int8"]}


def study_of(case: str, folder: Path, full: bool) -> Path:
    """A finished study of one trial; one that is there already is taken."""
    path = folder / f"{case}{'-full' if full else ''}"
    if case == "transformer":
        with gzip.open(sources.resolve("shakespeare", Path()), "rt") as text:
            (folder / "text.txt").write_text(text.read(ROWS[case][full]))
    if not (path / "best").is_dir():
        spec = (
            f"study: {case}\nmodel: {case}\n{DATA[case].replace('ROWS', str(ROWS[case][full]))}\n"
            f"metric: {METRICS[case]}\nepochs: {EPOCHS[case][full]}\nspace: {SPACES[case]}\nbudget: {{trials: 1}}\n"
            "fuse: never\n"
        )
        file = folder / f"{path.name}.yaml"
        file.write_text(spec)
        automl.search(file, path=path, executor="inline", finalists=None)
    return path


class ByHand:
    """What one does without the product, on the same model and rows."""

    def __init__(self, study: Path) -> None:
        search = from_ledger.prepare(study, None, trials=None, workers=0, accept_changes=False)
        search.study.close()
        task: Any = search.task
        self.subject = Subject.of(replace(task, refit=False), study / "best", 0)
        self.kind = self.subject.prepared.kind
        self.original = self.subject.holdout.sample(self.subject.bundle, "test")

    def row(self, name: str, size: int, call: Callable[[Tensor], Tensor], parameters: int) -> dict[str, Any]:
        """What is measured of a network."""
        subject, test = self.subject, self.subject.prepared.test
        module = call if isinstance(call, nn.Module) else _Called(call)
        from automl.metrics import rows as samples

        with torch.no_grad():
            scores = [
                samples.rows(subject.holdout.name, self.kind, module(x), y)
                for x, y in zip(torch.split(test.x, 256), torch.split(test.y, 256), strict=True)
            ]
        plain = self.kind == "classification"
        own = samples.of_rows(subject.holdout.name, np.concatenate(scores), np.ones(len(test)), plain=plain)
        gain, between = intervals.difference(own, self.original, sign=subject.sign)
        x = subject.prepared.val.x
        return {
            "name": name, "bytes": size, "parameters": parameters, "score": own.value, "gain": gain,
            "interval": between, "ms_1": latency_ms(module, x[:1]), "ms_64": latency_ms(module, x[:64]),
        }  # fmt: skip

    def pruned(self, share: float = 0.5) -> dict[str, Any]:
        """torch-pruning alone."""
        import copy

        import torch_pruning as tp

        subject = self.subject
        module = copy.deepcopy(subject.module)
        train = subject.prepared.train
        last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tp.pruner.MagnitudePruner(
                module, train.x[:2], importance=tp.importance.MagnitudeImportance(p=2), pruning_ratio=share,
                ignored_layers=[last],
            ).step()  # fmt: skip
        optimizer = torch.optim.Adam(module.parameters(), lr=5e-4)
        torch.manual_seed(0)
        module.train()
        for _ in range(2):
            for rows in torch.randperm(len(train)).split(64):
                out, y = module(train.x[rows]), train.y[rows]
                loss = F.cross_entropy(out.flatten(0, -2), y.flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        module.eval()
        with tempfile.NamedTemporaryFile() as file:
            torch.save(module.state_dict(), file.name)
            size = Path(file.name).stat().st_size
        return self.row("torch-pruning alone, half of the units", size, module, count(module))

    def quantized(self) -> dict[str, Any]:
        """ONNX dynamic int8 alone."""
        import onnxruntime
        from onnxruntime.quantization import quantize_dynamic

        subject = self.subject
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file, small = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
            torch.onnx.export(
                subject.module, (subject.prepared.val.x[:3],), file, dynamo=True, external_data=False,
                dynamic_shapes=({0: torch.export.Dim("rows")},), verbose=False,
            )  # fmt: skip
            told = ""
            try:
                quantize_dynamic(file, small)
            except Exception:  # its shape inference refuses what torch has exported
                from onnxruntime.quantization.shape_inference import quant_pre_process

                told = ", pre-processed (it fails otherwise)"
                quant_pre_process(str(file), str(file))
                quantize_dynamic(file, small)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(small, options, providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name

            def call(x: Tensor) -> Tensor:
                return torch.from_numpy(np.asarray(session.run(None, {name: x.numpy()})[0]))

            return self.row(f"ONNX dynamic int8 alone{told}", small.stat().st_size, call, count(subject.module))


class _Called(nn.Module):
    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


def compared(case: str, study: Path) -> dict[str, Any]:
    """Compress a study's winner, and do it by hand."""
    begun = time.process_time()
    small = automl.compress(study, lose=LOSE[case], ways=WAYS[case], say=print)
    seconds = time.process_time() - begun
    print(f"\n{small.table()}\n\n" + "\n".join(small.verdict()) + f"\n{seconds:.0f} CPU seconds\n", flush=True)
    rows: list[dict[str, Any]] = []
    with one_thread():
        hand = ByHand(study)
        subject = hand.subject
        size = (subject.bundle / "model.safetensors").stat().st_size
        rows.append(hand.row("original, float32, eager", size, subject.module, count(subject.module)))
        if small.chosen is not None:
            module = small.model().module
            rows.append(hand.row(f"automl compress: {small.chosen.name}", small.chosen.bytes, module,
                                 small.chosen.parameters))  # fmt: skip
        for way in (hand.pruned, hand.quantized):
            try:
                rows.append(way())
            except Exception as error:  # a finding, too
                rows.append({"name": f"{way.__doc__}", "failed": f"{type(error).__name__}: {str(error)[:120]}"})
    return {"case": case, "metric": METRICS[case], "rows": rows, "cpu_s": seconds, "search": small.to_json()}


def markdown(found: dict[str, Any]) -> str:
    """The second table of a case."""
    metric = found["metric"].replace("val_", "test ")
    lines = [f"| {found['case']} | bytes | 1 row ms | 64 rows ms | {metric} | change, 95 % interval |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    first = found["rows"][0]
    for row in found["rows"]:
        if "failed" in row:
            lines.append(f"| {row['name']} | {row['failed']} | | | | |")
            continue
        low, high = row["interval"]
        times = [f"{row[key]:,.3f} ({first[key] / row[key]:.1f}x)" for key in ("ms_1", "ms_64")]
        lines.append(
            f"| {row['name']} | {row['bytes']:,} ({first['bytes'] / row['bytes']:.1f}x) | {' | '.join(times)} |"
            f" {row['score']:.4f} | {row['gain']:+.4f} [{low:+.4f}, {high:+.4f}] |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the cases that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(SPACES))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--dir", type=Path, help="keeps the studies, so that a second run goes on")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = given.dir or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    found = [compared(case, study_of(case, folder, given.full)) for case in given.cases]
    print("\n\n".join(markdown(one) for one in found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
