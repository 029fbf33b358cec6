"""A trained model on disk: safetensors and JSON only, every file's hash in `manifest.json`, checked when it is loaded.

best/  manifest.json       hashes of the other files, versions, metrics with the names of their split, the spec
       model.json          the architecture: family (or package.module:build), config, what goes in and out
       model.safetensors   weights
       preparation.json    how rows are prepared, as numbers and names
       schema.json         the columns (or shape) that rows must have
       sample.json         a few rows and the outputs this model gave for them
       README.md           the model card
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from automl.bundle import card, checked, files, outputs
from automl.bundle.compressed.layers import resized
from automl.bundle.compressed.network import OnnxNetwork
from automl.bundle.model import Model
from automl.bundle.restore import builder, restore, untied
from automl.core import files as plain
from automl.data.prepared import Prepared
from automl.data.preparing import transform
from automl.data.preparing.columns import MISSING
from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError
from automl.models import Build, adjusting, families
from automl.version import __version__

TOLERANCE = 1e-3
"""How much recomputed outputs may differ from the saved ones, absolute plus relative: processors round differently."""
INT8_TOLERANCE = 0.05
"""The same for networks that compute with whole numbers of 8 bits, as a share of the range of the outputs: a value that
is rounded to the next whole number changes outputs by more than the precision of float32. A processor that computes
such products with saturation (see `automl.compression`) gives outputs that differ by more."""


def save(
    folder: Path | str,
    *,
    model: str,
    config: Mapping[str, Any],
    prepared: Prepared,
    state_dict: Mapping[str, Tensor],
    metrics: Mapping[str, float],
    spec: Mapping[str, Any] | None = None,
    build: Build | None = None,
) -> Path:
    """Write a bundle; the folder appears complete or not at all.

    Args:
        folder: where; a bundle that is there is replaced.
        model: a family's name or `package.module:build`.
        config: the hyperparameters it was built with.
        prepared: the data it was trained on: their shapes, preparation and sample rows are saved, not the rows.
        state_dict: weights of the plain module.
        metrics: its scores, by names such as `val_accuracy`.
        spec: the specification of the search, for the record.
        build: builds the model, in place of what `model` names.

    Returns:
        `folder`.

    Raises:
        BundleError: the weights do not fit the model.
    """
    folder = Path(folder)
    work = folder.with_name(folder.name + ".part")
    plain.empty(work)
    module = restore(build or builder(model, trust=True), config, prepared.inputs, prepared.outputs, state_dict)
    x = transform.transform(prepared.preparation, prepared.sample)
    expected = outputs.compute(module, x, torch.device("cpu"))
    weights = {name: value.detach().cpu().contiguous() for name, value in state_dict.items()}
    save_file(untied(weights), work / "model.safetensors")
    files.write_json(work / "preparation.json", prepared.preparation)
    files.write_json(work / "schema.json", schema(prepared.preparation, prepared.inputs))
    files.write_json(work / "sample.json", {"rows": prepared.sample, "outputs": expected.double().tolist()})
    architecture = {
        "model": model, "config": dict(config),
        "inputs": prepared.inputs.to_json(), "outputs": prepared.outputs.to_json(),
    }  # fmt: skip
    files.write_json(work / "model.json", architecture)
    manifest = _manifest(architecture, prepared, metrics, spec or {})
    plain.write(work / "README.md", card.card(manifest, prepared).encode())
    written = [path for path in sorted(work.iterdir()) if path.name != files.MANIFEST]
    manifest["files"] = {path.name: files.sha256(path) for path in written}
    files.write_json(work / files.MANIFEST, manifest)
    files.replace_folder(work, folder)
    return folder


def _manifest(
    architecture: Mapping[str, Any], prepared: Prepared, metrics: Mapping[str, float], spec: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format": files.FORMAT, "version": files.VERSION, **architecture, "kind": prepared.kind,
        "classes": prepared.classes, "columns": prepared.columns, "data": prepared.fingerprint,
        "metrics": dict(metrics), "spec": dict(spec), "spec_sha256": files.sha256_of_tree(spec),
        "versions": {"automl": __version__, "torch": str(torch.__version__)}, "notes": prepared.notes,
    }  # fmt: skip


def load_model(
    folder: Path,
    manifest: dict[str, Any] | None = None,
    *,
    build: Build | None = None,
    trust: bool = False,
    device: torch.device | str = "cpu",
) -> Model:
    """Read the bundle in `folder` itself, as `automl.load` does (see there), which also finds winners and ensembles.

    `manifest`: the content of its manifest, where the caller has read it already.

    Raises:
        BundleError: with the file and the reason.
    """
    try:
        return _load(folder, manifest, build, trust, device)
    except BundleError:
        raise
    except Exception as error:  # its content may be anything
        detail = f"{type(error).__name__}: {str(error)[:300]}"
        raise BundleError(f"{folder}: its content is damaged, no model comes of it ({detail})") from error


def _load(
    folder: Path, manifest: dict[str, Any] | None, build: Build | None, trust: bool, device: torch.device | str
) -> Model:
    manifest = manifest or files.read_json(folder / files.MANIFEST)
    _check_format(manifest, folder)
    files.verify(folder, manifest)
    if not isinstance(described := files.read_json(folder / "model.json"), dict):
        raise BundleError(f"{folder / 'model.json'}: not the description of a model")
    manifest |= described
    inputs, outputs_ = checked.units(manifest, folder)
    if manifest["format"] == files.COMPRESSED and files.NETWORK in manifest["files"]:
        module: nn.Module = OnnxNetwork((folder / files.NETWORK).read_bytes(), inputs)
    else:
        module = _network(folder, manifest, build, trust, inputs, outputs_)
    preparation, sample = files.read_json(folder / "preparation.json"), files.read_json(folder / "sample.json")
    checked.preparation(preparation, inputs, folder)
    model = Model(module, manifest, preparation, torch.device(device), sample["rows"])
    _replay(model, sample, folder)
    return model


def _check_format(manifest: Any, folder: Path) -> None:
    """Check that this version reads bundles of this format."""
    known = {files.FORMAT: files.VERSION, files.COMPRESSED: files.COMPRESSED_VERSION}
    latest = known.get(str(manifest.get("format"))) if isinstance(manifest, dict) else None
    if latest is None:
        raise BundleError(f"{folder}: not a bundle ({files.MANIFEST} does not say {files.FORMAT!r})")
    if (version := manifest.get("version")) != latest:
        newer = "; a newer automl wrote it: update automl" if type(version) is int and version > latest else ""
        raise BundleError(f"{folder}: not a bundle this version can read (version {version!r}){newer}")


def _network(
    folder: Path, manifest: Mapping[str, Any], build: Build | None, trust: bool, inputs: Inputs, outputs: Outputs
) -> nn.Module:
    """The torch module of a bundle, with its weights."""
    try:
        weights = load_file(folder / files.WEIGHTS)
    except SafetensorError as error:
        raise BundleError(f"{folder / files.WEIGHTS} cannot be read: {error}") from error
    own = build is None and manifest["model"] in families()
    build = build or builder(manifest["model"], trust=trust)
    if manifest["format"] == files.COMPRESSED:
        build = resized(build, checked.layers(manifest, folder))
    if own and not families()[manifest["model"]].grown:  # a family's layers are known before any memory is taken
        checked.fits(build, manifest["config"], inputs, outputs, adjusting.without(weights))
    return restore(build, manifest["config"], inputs, outputs, weights)


def _replay(model: Model, sample: Mapping[str, Any], folder: Path) -> None:
    """Check that the model still gives the outputs that were saved with it."""
    expected = torch.tensor(sample["outputs"], dtype=torch.float64)
    computed = model.outputs(sample["rows"]).double()
    whole = isinstance(model.module, OnnxNetwork) and model.manifest.get("int8") is True
    near = INT8_TOLERANCE * float(expected.max() - expected.min()) if whole else TOLERANCE
    if computed.shape != expected.shape or not torch.allclose(computed, expected, rtol=TOLERANCE, atol=near):
        reason = "; whole numbers of 8 bits need a processor like the one it was measured on" if whole else ""
        raise BundleError(
            f"{folder}: the model does not give the outputs that were saved with it (sample.json){reason}"
        )
    model.decoded(computed)


def schema(preparation: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """What rows must look like, for programs: the columns of a table with their roles, or the shape of a sample."""
    if preparation.get("form") != "table":
        return {"form": preparation.get("form"), **inputs.to_json()}
    used = {str(column["name"]): column for column in preparation["columns"]}
    columns = []
    for name in preparation["expects"]:
        column = used.get(name, {})
        entry: dict[str, Any] = {"name": name, "role": column.get("role", "unused")}
        if "values" in column:
            entry["values"] = [v for v in column["values"] if v != MISSING]
        columns.append(entry)
    return {"form": "table", "columns": columns, "missing": "allowed everywhere; unknown categories too"}


def add_scores(folder: Path, verdict: Mapping[str, Any]) -> None:
    """Add the result of the final evaluation to the manifest and the card of a bundle that nobody reads yet.

    `verdict`: see `automl.evaluation.verdict`.
    """
    manifest, readme = files.read_json(folder / files.MANIFEST), folder / "README.md"
    test = verdict["test"]
    if verdict["refit"]:  # this model was trained on the validation rows: its scores there say nothing
        manifest["metrics"] = {k: v for k, v in manifest["metrics"].items() if k.startswith("train_")}
    if test:
        manifest["metrics"] |= test["metrics"]
    if test and test["value"] is not None:
        manifest["metrics"][test["metric"]] = test["value"]
        manifest["intervals"] = {test["metric"]: test["interval"]}
    manifest["finalists"] = verdict["finalists"]
    plain.write(readme, (readme.read_text(encoding="utf-8") + card.scores(verdict)).encode())
    manifest["files"][readme.name] = files.sha256(readme)
    files.write_json(folder / files.MANIFEST, manifest)
