"""The networks of a winner that answer together: taken apart, given another form each, and put together again."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from automl.bundle import ensemble, files
from automl.bundle.compressed import tree_graph, writing
from automl.bundle.compressed.network import onnx_runtime
from automl.bundle.compressed.writing import Network
from automl.bundle.ensemble import Ensemble
from automl.bundle.loading import load
from automl.bundle.model import Model
from automl.bundle.restore import restore
from automl.compression.subject import Original
from automl.compression.ways import quantizing, tree_pruning
from automl.data.shapes import Inputs, Outputs
from automl.models import adjusting
from automl.models.combined import bagged


@dataclass(frozen=True)
class Piece:
    """One network: a member of an ensemble, or the model of one fold of it.

    Attributes:
        name: among all of them.
        group: what is scored as a whole: the member's name, for the models of all of its folds.
        bundle: where it, or all of its folds, are saved.
        weight: how often it counts.
        fold: the fold that it has not learned from; None without folds.
        config: its hyperparameters.
        module: it, in evaluation mode.
        manifest: of its bundle.
        preparation, sample: of its bundle.
    """

    name: str
    group: str
    bundle: Path
    weight: int
    fold: int | None
    config: Mapping[str, Any]
    module: nn.Module
    manifest: Mapping[str, Any]
    preparation: dict[str, Any]
    sample: Any

    @property
    def has_trees(self) -> bool:
        """Whether it is trees."""
        return tree_pruning.trees_of(self.module) is not None

    def network(self) -> Network:
        """It as it is."""
        return Network(self.config, {}, adjusting.weights_of(self.module))

    def with_module(self, module: nn.Module) -> Network:
        """It with another module of the same layers."""
        return Network(self.config, {}, adjusting.weights_of(module))

    def pruned(self, original: Original, share: float) -> Network:
        """It with this share of its trees dropped; a network without trees stays as it is."""
        if not self.has_trees:
            return self.network()
        x = original.data.of(self.config).train.x
        return self.with_module(tree_pruning.pruned(self.module, x, share))

    @cached_property
    def digest(self) -> str:
        """Of its config and weights: networks with the same one give the same answers."""
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True, default=str).encode())
        for name, value in sorted(adjusting.weights_of(self.module).items()):
            digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy().tobytes())
        return digest.hexdigest()


class OnnxNetworks:
    """Writes pieces as ONNX networks. Each is exported once, however many variants it is in.

    Args:
        original: with the rows by which scales of int8 are fixed.
        folder: for files.
    """

    def __init__(self, original: Original, folder: Path) -> None:
        self._original, self._folder = original, folder
        self._made: dict[tuple[str, quantizing.Mode], Network] = {}

    def of(self, piece: Piece, mode: quantizing.Mode) -> Network:
        """A piece for ONNX Runtime; trees are computed in float32 in any mode.

        Raises:
            BundleError: it cannot be written as ONNX.
        """
        mode = "float32" if piece.has_trees else mode
        key = (piece.digest, mode)
        if key not in self._made:
            self._made[key] = Network(piece.config, onnx=self._content(piece, mode), int8=mode != "float32")
        return self._made[key]

    def _content(self, piece: Piece, mode: quantizing.Mode) -> bytes:
        if tree_graph.trees_in(piece.module) is not None:
            onnx_runtime()
            return tree_graph.content(piece.module)
        folder = self._folder / piece.digest
        if not folder.is_dir():
            manifest = {**piece.manifest, "config": dict(piece.config)}
            model = Model(piece.module, manifest, piece.preparation, torch.device("cpu"), piece.sample)
            quantizing.float32(model, folder)
        return quantizing.network(folder / quantizing.FLOAT32, mode, self._original.data.of(piece.config).train.x)


def pieces(original: Original, bundle: Path) -> list[Piece]:
    """The networks of a saved model or ensemble, one by one.

    Args:
        original: whose code builds them.
        bundle: of it, or of a variant.
    """
    loaded, manifest = load(bundle, build=original.build), files.read_json(bundle / files.MANIFEST)
    if not isinstance(loaded, Ensemble):
        return _folds(original, loaded, bundle, bundle.name, 1, None)
    return [
        piece
        for model, member in zip(loaded.models, manifest["members"], strict=True)
        for piece in _folds(
            original, model, bundle / member["folder"], member["folder"], member["weight"], member.get("fold")
        )
    ]


def _folds(original: Original, model: Model, bundle: Path, name: str, weight: int, fold: int | None) -> list[Piece]:
    """A model as it is, or the models of its folds."""

    def piece(name: str, group: str, fold: int | None, config: Mapping[str, Any], module: nn.Module) -> Piece:
        return Piece(name, group, bundle, weight, fold, config, module, model.manifest, model.preparation, model.sample)

    if bagged.FOLDS not in model.config:
        group = name if fold is None else name.rpartition("-f")[0]
        return [piece(name, group, fold, model.config, model.module)]
    config = {key: value for key, value in model.config.items() if key != bagged.FOLDS}
    weights = load_file(bundle / files.WEIGHTS)
    inputs, outputs = Inputs.from_json(model.manifest["inputs"]), Outputs.from_json(model.manifest["outputs"])
    members = bagged.separate(adjusting.without(weights), model.config[bagged.FOLDS])
    return [
        piece(f"{name}-f{k}", name, k, config, restore(original.build, config, inputs, outputs, own))
        for k, own in enumerate(adjusting.with_those_of(weights, one) for one in members)
    ]


def assembled(
    folder: Path,
    original: Original,
    chosen: Sequence[Piece],
    made: Callable[[Piece], Network],
    about: Mapping[str, Any],
) -> None:
    """Write the bundle of a variant: a model for a single piece, else an ensemble.

    Args:
        folder: where.
        original: whose code builds the networks.
        chosen: the pieces that stay.
        made: what becomes of each.
        about: how it was compressed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if len(chosen) == 1:
        return _write(folder, original, chosen[0], made, about)
    with tempfile.TemporaryDirectory() as work:
        bundles = {piece.name: Path(work) / piece.name for piece in chosen}
        for piece in chosen:
            _write(bundles[piece.name], original, piece, made, about)
        folds = {piece.name: piece.fold for piece in chosen if piece.fold is not None}
        return ensemble.write(folder, bundles, {piece.name: piece.weight for piece in chosen}, folds)


def _write(
    folder: Path, original: Original, piece: Piece, made: Callable[[Piece], Network], about: Mapping[str, Any]
) -> None:
    writing.write(folder, piece.bundle, made(piece), original.build, about, {})


def outputs(original: Original, of: Sequence[Piece], rows: Callable[[Mapping[str, Any]], Tensor]) -> Tensor:
    """[N, units] what these networks answer together.

    Args:
        original: whose task it is.
        of: the networks.
        rows: gives the rows as a config wants them prepared.
    """
    from automl.bundle.outputs import compute

    each = (compute(piece.module, rows(piece.config), "cpu") for piece in of)
    return ensemble.average(each, [piece.weight for piece in of], original.holdout.kind).float()
