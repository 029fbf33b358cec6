"""Writes the bundle of a compressed model: as any other bundle, with changed layers or an ONNX network in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from automl.bundle import files, outputs
from automl.bundle.card import LOADING
from automl.bundle.compressed.layers import resized
from automl.bundle.compressed.network import OnnxNetwork
from automl.bundle.model import Model
from automl.bundle.restore import restore, untied
from automl.core import files as plain
from automl.data.shapes import Inputs, Outputs
from automl.models import Build
from automl.version import __version__


@dataclass(frozen=True)
class Network:
    """A compressed network, as it is saved.

    Attributes:
        config: what the original model's function is called with: that of the original, or of a smaller student.
        layers: the layers whose sizes are others than it builds (see `layers.described`).
        weights: by the names of the module.
        onnx: the content of an ONNX file, which is saved in the place of the weights; None: there is none.
        int8: whether it computes with whole numbers of 8 bits.
    """

    config: Mapping[str, Any]
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    onnx: bytes | None = None
    int8: bool = False

    def module(self, build: Build, inputs: Inputs, outputs: Outputs) -> nn.Module:
        """The network itself, in evaluation mode.

        Args:
            build: the original model's function.
            inputs, outputs: of the original model.
        """
        if self.onnx is not None:
            return OnnxNetwork(self.onnx, inputs).eval()
        return restore(resized(build, self.layers), self.config, inputs, outputs, self.weights)


def write(
    folder: Path, original: Path, network: Network, build: Build, about: Mapping[str, Any], metrics: Mapping[str, float]
) -> Path:
    """Write a bundle; the folder appears complete or not at all.

    Args:
        folder: where; a bundle that is there is replaced.
        original: the bundle that was compressed: preparation, schema, sample rows and notes are those of it.
        network: what came of it.
        build: the original model's function.
        about: how it was compressed, for the manifest and the card: name, parts, parameters, bytes, ...
        metrics: its scores, by names such as `val_accuracy`.

    Returns:
        `folder`.

    Raises:
        BundleError: the network is none that can be loaded again.
    """
    before, described = files.read_json(original / files.MANIFEST), files.read_json(original / "model.json")
    inputs, units = Inputs.from_json(described["inputs"]), Outputs.from_json(described["outputs"])
    work = plain.empty(folder.with_name(folder.name + ".part"))
    for name in ("preparation.json", "schema.json"):
        plain.write(work / name, (original / name).read_bytes())
    if network.onnx is None:
        weights = {name: value.detach().cpu().contiguous() for name, value in network.weights.items()}
        save_file(untied(weights), work / files.WEIGHTS)
    else:
        plain.write(work / files.NETWORK, network.onnx)
    rows = files.read_json(original / "sample.json")["rows"]
    model = Model(
        network.module(build, inputs, units), before | described, files.read_json(original / "preparation.json"),
        torch.device("cpu"), rows,
    )  # fmt: skip
    expected = outputs.compute(model.module, model.prepared(rows), "cpu")
    files.write_json(work / "sample.json", {"rows": rows, "outputs": expected.double().tolist()})
    described |= {"config": dict(network.config), "layers": dict(network.layers)}
    files.write_json(work / "model.json", described)
    del described["layers"]
    plain.write(work / "README.md", _card(before, about, metrics).encode())
    dropped = ("intervals", "finalists")
    manifest = {key: value for key, value in before.items() if key not in dropped} | described | {
        "format": files.COMPRESSED, "version": files.COMPRESSED_VERSION, "int8": network.int8,
        "metrics": dict(metrics), "compressed": {**about, "original": files.sha256(original / files.MANIFEST)},
        "versions": {"automl": __version__, "torch": str(torch.__version__)},
        "files": {path.name: files.sha256(path) for path in sorted(work.iterdir())},
    }  # fmt: skip
    files.write_json(work / files.MANIFEST, manifest)
    files.replace_folder(work, folder)
    return folder


def add_scores(
    folder: Path, metrics: Mapping[str, float], intervals: Mapping[str, list[float]], lines: Sequence[str]
) -> None:
    """Add scores to the manifest and the card of a bundle or an ensemble that nobody reads yet.

    Args:
        folder: of it.
        metrics: by names such as `test_accuracy`.
        intervals: 95 % intervals, by the same names.
        lines: of the card, Markdown.
    """
    manifest, readme = files.read_json(folder / files.MANIFEST), folder / "README.md"
    manifest["metrics"] = manifest.get("metrics", {}) | metrics
    manifest["intervals"] = dict(intervals)
    before = readme.read_text(encoding="utf-8") if readme.is_file() else "\n".join(LOADING)
    plain.write(readme, (before + "\n".join([*lines, ""])).encode())
    if "files" in manifest:  # an ensemble has hashes of its members alone
        manifest["files"][readme.name] = files.sha256(readme)
    files.write_json(folder / files.MANIFEST, manifest)


def _card(before: Mapping[str, Any], about: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """The model card; Markdown."""
    facts = [f"| {name} | {value} |" for name, value in about.items() if isinstance(value, int | float | str)]
    return "\n".join([
        f"# {before['model']}, compressed: {about.get('name', '')}",
        "",
        f"Task: {before['kind']}. Made of a saved model whose preparation, schema and sample rows it keeps.",
        "",
        "| how | value |", "|---|---|", *facts, "",
        "| metric | value |", "|---|---|", *(f"| {name} | {value:.6g} |" for name, value in metrics.items()), "",
        *LOADING,
    ])  # fmt: skip
