"""A trained model on disk: safetensors and JSON only, every file's hash in `manifest.json`, checked when it is loaded.

best/  manifest.json       hashes of the other files, versions, metrics with the names of their split, the spec
       model.json          the architecture: family (or package.module:build), config, what goes in and out
       model.safetensors   weights
       preparation.json    how rows are treated, as numbers and names
       schema.json         the columns (or shape) that rows must have
       sample.json         a few rows and the outputs this model gave for them
       README.md           the model card
"""

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from automl import models
from automl.bundle import ensemble
from automl.data.prepared import Prepared
from automl.data.preparing import text, transform
from automl.data.preparing.columns import MISSING
from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError, DataError
from automl.version import __version__ as automl_version

if TYPE_CHECKING:
    from automl.bundle.ensemble import Ensemble

VERSION = 2
FILES = ("model.json", "model.safetensors", "preparation.json", "schema.json", "sample.json")
TOLERANCE = 1e-3
"""How far replayed outputs may lie from the saved ones, absolute plus relative: other processors round otherwise."""


def save(
    folder: Path | str,
    *,
    model: str,
    config: Mapping[str, Any],
    prepared: Prepared,
    state_dict: Mapping[str, Tensor],
    metrics: Mapping[str, float],
    spec: Mapping[str, Any] | None = None,
    build: Callable[..., nn.Module] | None = None,
) -> Path:
    """Write the bundle. `model`: a family's name or `package.module:build`; `state_dict`: weights of the plain module.

    `build` overrides how `model` is found. The folder appears complete or not at all. Returns it.
    """
    folder = Path(folder)
    work = folder.with_name(folder.name + ".part")
    work.mkdir(parents=True, exist_ok=True)
    module = restore(build or _builder(model, trust=True), config, prepared, state_dict)
    expected = outputs(module, transform.transform(prepared.preparation, prepared.sample), torch.device("cpu"))
    weights = {name: value.detach().cpu().contiguous() for name, value in state_dict.items()}
    save_file(_untied(weights), work / "model.safetensors")
    _write(work / "preparation.json", prepared.preparation)
    _write(work / "schema.json", schema(prepared.preparation, prepared.inputs))
    architecture = {
        "model": model, "config": dict(config),
        "inputs": prepared.inputs.to_json(), "outputs": prepared.outputs.to_json(),
    }  # fmt: skip
    _write(work / "model.json", architecture)
    _write(work / "sample.json", {"rows": prepared.sample, "outputs": expected.double().tolist()})
    manifest = {
        "format": "automl-bundle", "version": VERSION, **architecture, "kind": prepared.kind,
        "classes": prepared.classes, "columns": prepared.columns, "data": prepared.fingerprint,
        "metrics": dict(metrics), "spec": dict(spec or {}), "spec_sha256": _hash_of(spec or {}),
        "versions": {"automl": automl_version, "torch": str(torch.__version__)}, "notes": prepared.notes,
    }  # fmt: skip
    (work / "README.md").write_text(_card(manifest, prepared), encoding="utf-8")
    manifest["files"] = {path.name: sha256(path) for path in sorted(work.iterdir()) if path.name != "manifest.json"}
    _write(work / "manifest.json", manifest)
    _swap(work, folder)
    return folder


def load(
    folder: Path | str,
    *,
    build: Callable[..., nn.Module] | None = None,
    trust: bool = False,
    device: torch.device | str = "cpu",
) -> "Model | Ensemble":
    """Read a bundle, or the winner of a study's folder, check the hash of all that is read and replay the saved sample.

    The folder `ensemble/` of a study is read in the same way.

    A model that is no built-in family needs its code: pass `build`, or `trust=True` to import what the bundle names.
    Raises BundleError with the file and the reason.
    """
    folder = _find(Path(folder))
    manifest = _read(folder / "manifest.json")
    if manifest.get("format") == ensemble.FORMAT:
        return ensemble.read(folder, manifest, build=build, trust=trust, device=device)
    return load_one(folder, manifest, build=build, trust=trust, device=device)


def load_one(
    folder: Path,
    manifest: dict[str, Any] | None = None,
    *,
    build: Callable[..., nn.Module] | None = None,
    trust: bool = False,
    device: torch.device | str = "cpu",
) -> "Model":
    """`load` for the folder of a single bundle."""
    manifest = manifest or _read(folder / "manifest.json")
    if manifest.get("format") != "automl-bundle" or manifest.get("version") != VERSION:
        raise BundleError(f"{folder}: not a bundle this version can read (version {manifest.get('version')!r})")
    verify(folder, manifest)
    manifest |= _read(folder / "model.json")
    inputs, outputs = Inputs.from_json(manifest["inputs"]), Outputs.from_json(manifest["outputs"])
    try:
        weights = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise BundleError(f"{folder / 'model.safetensors'} cannot be read: {error}") from error
    builder = build or _builder(manifest["model"], trust)
    module = _restore(builder, manifest["config"], inputs, outputs, weights)
    sample = _read(folder / "sample.json")
    made = Model(module, manifest, _read(folder / "preparation.json"), torch.device(device), sample["rows"])
    _replay(made, sample, folder)
    return made


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Whether all files are there and are those that were saved.

    Raises BundleError with the file and the reason.
    """
    for name in FILES:
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path} is missing")
        if sha256(path) != manifest.get("files", {}).get(name):
            raise BundleError(f"{path} is not the file that was saved (its sha256 differs from the manifest's)")


def schema(preparation: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """What rows must look like, for programs: the columns of a table with their roles, or the shape of a sample."""
    if preparation.get("form") != "table":
        return {"form": preparation.get("form"), **inputs.to_json()}
    used = {str(column["name"]): column for column in preparation["columns"]}
    columns = []
    for name in preparation["expects"]:
        column = used.get(name, {})
        told: dict[str, Any] = {"name": name, "role": column.get("role", "unused")}
        if "values" in column:
            told["values"] = [v for v in column["values"] if v != MISSING]
        columns.append(told)
    return {"form": "table", "columns": columns, "missing": "allowed everywhere; unknown categories too"}


def annotate(folder: Path, verdict: Mapping[str, Any]) -> None:
    """Add what the finalists showed to a bundle in `folder` that nobody reads yet: its metrics, and its card."""
    manifest, card = _read(folder / "manifest.json"), folder / "README.md"
    test = verdict.get("test")
    if verdict["refit"]:  # this model has been trained on the validation rows
        manifest["metrics"] = {k: v for k, v in manifest["metrics"].items() if k.startswith("train_")}
    if test:
        manifest["metrics"] |= {**test["metrics"], test["metric"]: test["value"]}
        manifest["intervals"] = {test["metric"]: test["interval"]}
    manifest["finalists"] = verdict["finalists"]
    card.write_text(card.read_text(encoding="utf-8") + _card_of_scores(verdict, test), encoding="utf-8")
    manifest["files"][card.name] = sha256(card)
    _write(folder / "manifest.json", manifest)


class Model:
    """A trained model with its preparation: give it rows as they come, get labels or values."""

    def __init__(
        self,
        module: nn.Module,
        manifest: dict[str, Any],
        preparation: dict[str, Any],
        device: torch.device,
        sample: Any = (),
    ) -> None:
        self.module, self.manifest, self.preparation, self.device = (
            module.to(device).eval(),
            manifest,
            preparation,
            device,
        )
        self.config: dict[str, Any] = manifest["config"]
        self.kind: str = manifest["kind"]
        self.sample = sample  # a few untreated rows
        self.classes: list[Any] = manifest["classes"]
        self.metrics: dict[str, float] = manifest["metrics"]

    def __repr__(self) -> str:
        return f"Model({self.manifest['model']}, {self.kind}, config={self.config})"

    def outputs(self, rows: Any) -> Tensor:
        """Raw outputs [N, units] (logits, or values in standard units) for untreated rows."""
        return outputs(self.module, self.prepared(rows), self.device)

    def prepared(self, rows: Any) -> Tensor:
        """Untreated rows as the network takes them, [N, *inputs.shape]."""
        return transform.transform(self.preparation, rows)

    def predict(self, rows: Any) -> NDArray[Any]:
        """[N] labels, or [N] ([N, D] for several) values in the data's own unit, for a DataFrame or an array.

        A language model gives the likeliest token after each token, [N, window].
        """
        return self.told(self.outputs(rows))

    def told(self, outputs: Tensor) -> NDArray[Any]:
        """Outputs [N, units] as labels or values."""
        if self.kind == "regression":
            target = self.preparation["target"]
            values = outputs.double().numpy() * np.asarray(target["scale"]) + np.asarray(target["center"])
            return np.asarray(values[:, 0] if values.shape[1] == 1 else values)
        return np.asarray(np.asarray(self.classes)[outputs.argmax(-1).numpy()])

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        """[N, classes] probabilities, in the order of `classes`."""
        if self.kind != "classification":
            raise DataError(f"probabilities are for classes; this model's task is {self.kind}")
        return self.shares(self.outputs(rows))

    def shares(self, outputs: Tensor) -> NDArray[Any]:
        """Outputs [N, classes] as probabilities."""
        return np.asarray(outputs.double().softmax(-1))

    def generate(self, prompt: str, tokens: int, temperature: float = 1.0, seed: int = 0) -> str:
        """`prompt` continued by so many tokens of a language model; temperature 0 takes the likeliest one each time."""
        if self.kind != "next_token" or not prompt:
            raise DataError("generate needs a language model and a prompt of at least one token")
        how, window = self.preparation["tokens"], self.preparation["window"]
        code = {token: k + 1 for k, token in enumerate(self.preparation["vocabulary"])}
        codes = [code.get(token, 0) for token in text.split_tokens(prompt, how)]
        generator = torch.Generator().manual_seed(seed)
        made = []
        for _ in range(tokens):
            x = torch.tensor([codes[-window:]], device=self.device)
            with torch.no_grad():
                logits = self.module(x)[0, -1].double().cpu()
            logits[0] = -torch.inf  # never the unknown token
            if temperature > 0:
                codes.append(int(torch.multinomial((logits / temperature).softmax(0), 1, generator=generator)))
            else:
                codes.append(int(logits.argmax()))
            made.append(self.preparation["vocabulary"][codes[-1] - 1])
        return prompt + "".join(f" {token}" if how in ("word", "ids") else token for token in made)


def outputs(module: nn.Module, x: Tensor, device: torch.device | str) -> Tensor:
    """[N, units] of prepared samples `x` [N, ...], a piece at a time; on the CPU."""
    module.to(device).eval()
    with torch.no_grad():
        return torch.cat([module(chunk.to(device)).cpu() for chunk in torch.split(x, 1024)])


def _builder(model: str, trust: bool) -> Callable[..., nn.Module]:
    if model in models.families():
        return models.build(model)
    if not trust:
        raise BundleError(
            f"the model is {model!r}, code outside this bundle: pass build=..., or trust=True to import it"
        )
    name, _, attribute = model.partition(":")
    try:
        found: Callable[..., nn.Module] = getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError) as error:
        raise BundleError(f"the model {model!r} cannot be imported: {error}") from error
    return found


def restore(
    build: Callable[..., nn.Module], config: Mapping[str, Any], prepared: Prepared, weights: Mapping[str, Tensor]
) -> nn.Module:
    """The model of `config` with these weights. Raises BundleError where they do not fit."""
    return _restore(build, config, prepared.inputs, prepared.outputs, weights)


def _restore(
    build: Callable[..., nn.Module],
    config: Mapping[str, Any],
    inputs: Inputs,
    outputs: Outputs,
    weights: Mapping[str, Tensor],
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        module = build(dict(config), inputs, outputs)
    try:
        missing, unexpected = module.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        raise BundleError(f"the weights do not fit the model: {error}") from error
    tied = {name for name, value in module.state_dict(keep_vars=True).items() if id(value) in _shared(module)}
    if unexpected or set(missing) - tied:
        raise BundleError(f"the weights do not fit the model: {[*missing, *unexpected][:4]} missing or unexpected")
    return module.eval()


def _shared(module: nn.Module) -> set[int]:
    """ids of parameters that stand under more than one name (tied weights)."""
    ids = [id(value) for value in module.state_dict(keep_vars=True).values()]
    return {one for one in ids if ids.count(one) > 1}


def _untied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors stores no two names of one memory: the first name keeps it."""
    seen: dict[int, str] = {}
    return {
        name: value for name, value in weights.items() if seen.setdefault(value.data_ptr() or id(value), name) == name
    }


def _replay(model: Model, sample: dict[str, Any], folder: Path) -> None:
    expected = torch.tensor(sample["outputs"], dtype=torch.float64)
    found = model.outputs(sample["rows"]).double()
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise BundleError(f"{folder}: the model does not give the outputs that were saved with it (sample.json)")


def _find(folder: Path) -> Path:
    for place in (folder, folder / "best"):
        if (place / "manifest.json").is_file():
            return place
    what = "has no winner yet (no best/manifest.json)" if folder.is_dir() else "does not exist"
    raise BundleError(f"{folder} {what}")


def _swap(work: Path, folder: Path) -> None:
    old = folder.with_name(folder.name + ".old")
    _remove(old)
    if folder.exists():
        os.replace(folder, old)
    os.replace(work, folder)
    _remove(old)


def _remove(folder: Path) -> None:
    """Our own flat folder, file by file."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _hash_of(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=_plain).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | Tensor):
        return value.item()
    return str(value)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error


def _card(manifest: dict[str, Any], prepared: Prepared) -> str:
    """A model card a person can read."""
    lines = [
        f"# {manifest['model']} for {prepared.preparation['target'].get('name', prepared.kind)}",
        "",
        f"Task: {prepared.kind}.",
    ]
    sizes = f"{len(prepared.train)} training, {len(prepared.val)} validation and {len(prepared.test)} test rows"
    lines += [f"Trained on {sizes}; {int(prepared.inputs)} input values, {int(prepared.outputs)} outputs.", ""]
    lines += ["| metric | value |", "|---|---|", *(f"| {k} | {v:.6g} |" for k, v in manifest["metrics"].items()), ""]
    lines += ["| hyperparameter | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in manifest["config"].items()), ""]
    lines += ["How the data was read:", "", *(f"- {note}" for note in prepared.notes), ""]
    lines += [
        "```python",
        "import automl",
        'model = automl.load("path/to/this/folder")',
        "model.predict(rows)",
        "```",
        "",
    ]
    return "\n".join(lines)


def _card_of_scores(verdict: Mapping[str, Any], test: Mapping[str, Any] | None) -> str:
    """How good the model is, and how sure that is."""
    first = verdict["finalists"][0]
    lines = ["", "## How good it is", ""]
    if test:
        low, high = test["interval"]
        lines += [
            f"- {test['metric']} {test['value']:.6g}, 95 % interval {low:.6g} to {high:.6g}, on {test['rows']} rows"
            " that neither training nor search has seen."
        ]
    if verdict["refit"]:
        lines += ["- Trained on the validation rows too; what follows is of models that were not."]
    lines += [f"- {verdict['metric']} {first['found']:.6g} in the search, as the best of many: perhaps by luck."]
    if first["interval"]:
        low, high = first["interval"]
        lines += [
            f"- {verdict['metric']} {first['mean']:.6g} as the mean of {first['seeds']} fresh seeds"
            f" (95 % interval of the mean {low:.6g} to {high:.6g}), on the same validation rows."
        ]
    return "\n".join([*lines, ""])
