"""The compression search: which variants are made of the winner, in which order, and when a way is given up.

Each way begins with the winner's weights, never with a search from scratch. Cutting ways first measure how sensitive
each group of layers is, and then go on cutting where it costs least; each network on that path is trained for a few
epochs, saved and measured, until one surely loses more than is allowed. Then ONNX networks, in float32 and int8, are
made of the original and of the best networks so far. What is finished is in the record, and is not made again.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from automl.bundle.compressed import writing
from automl.bundle.compressed.layers import described
from automl.bundle.compressed.writing import Network
from automl.compression.choosing import ORIGINAL
from automl.compression.measuring import Variant, count, in_words, measured
from automl.compression.options import CompressOptions
from automl.compression.record import CompressionRecord
from automl.compression.subject import Subject
from automl.compression.ways import cuts, quantizing
from automl.compression.ways.cuts import Cut
from automl.compression.ways.pruning import Pruning
from automl.compression.ways.ranks import Ranks
from automl.compression.ways.tuning import student, tuned
from automl.errors import BundleError

SHARES = (0.15, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95)
"""Shares of the parameters that are cut off, one variant each."""
STUDENTS = (2, 4)
"""The factors by which students have fewer units in each layer."""
BASES = 2
"""The number of pruned networks that are also made into ONNX networks, besides the original."""
MODES: dict[str, tuple[quantizing.Mode, ...]] = {"onnx": ("float32",), "int8": ("static", "dynamic")}
CUTS: dict[str, Callable[[Subject], Cut]] = {"prune": Pruning, "rank": Ranks}


@dataclass(frozen=True)
class CompressionSearch:
    """Makes and measures variants of one model.

    Attributes:
        subject: what is compressed.
        record: what is known already, and where results go.
        options: what is asked.
        say: called with each progress message.
    """

    subject: Subject
    record: CompressionRecord
    options: CompressOptions
    say: Callable[[str], None]

    def run(self) -> list[Variant]:
        """Make and measure the variants that do not exist yet; returns all variants, the original model first."""
        original = self.record.variant(ORIGINAL)
        if original is None:
            original = measured(self.subject.original, self.subject.bundle, ORIGINAL, "")
            self._add(original)
        for way in CUTS:
            if way in self.options.ways:
                self._cuts(way, original)
        if "student" in self.options.ways:
            self._students()
        for base in ["", *self._bases(original)]:
            self._onnx(base)
        return self.record.variants

    # -- cutting -----------------------------------------------------------------------------------------------------

    def _cuts(self, way: str, original: Variant) -> None:
        """One variant for each of `SHARES`, until one surely loses too much."""
        cut = CUTS[way](self.subject)
        sensitive = self.record.sensitivity(way)
        self.record.forget(way)  # that it had no layers to cut, in an earlier run
        if not sensitive:
            self.say(f"{way}: measuring how sensitive {len(cut.groups)} groups of layers are")
            sensitive = cuts.sensitivities(self.subject, cut)
            self.record.add_sensitivity(way, sensitive)
        if not sensitive:
            self._fail(way, way, "the network has no layers that could be cut in this way")
            return
        names = []
        for gone, levels, module in cuts.path(self.subject, cut, sensitive, SHARES):
            name = f"{way}-{100 * gone:.0f}"
            names.append(name)
            variant = self.record.variant(name) or self._cut(name, way, module, levels)
            if not variant.failed and variant.loses_surely(self.options.allowed(original.score)):
                break

    def _cut(self, name: str, way: str, module: nn.Module, levels: cuts.Levels) -> Variant:
        """Train, save and measure a cut network."""
        subject, epochs = self.subject, self._epochs()
        config, units = subject.config, (subject.prepared.inputs, subject.prepared.outputs)
        plain = subject.build(dict(config), *units)
        network = Network(config, described(plain, module), module.state_dict())
        stay = f"{count(module):,} of {count(plain):,} parameters stay"
        self.say(f"{name}: {stay}; trained for {self._steps(epochs)}")
        try:
            network = tuned(subject, network, epochs, lambda text: self.say(f"{name}: {text}"))
            return self._saved(name, way, network, about={"levels": dict(levels), "epochs": epochs})
        except (BundleError, ArithmeticError) as error:
            return self._fail(name, way, str(error))

    def _steps(self, number: int) -> str:
        """`5 epochs`, or what the search said in their place."""
        return f"{number} {self.subject.recipe.unit.step}s"

    def _epochs(self) -> int:
        return self.options.epochs or max(2, -(-self.subject.recipe.epochs // 4))

    # -- students ----------------------------------------------------------------------------------------------------

    def _students(self) -> None:
        """Narrower networks of the same family, trained from scratch on what the original answers."""
        subject = self.subject
        if subject.family is None or "width" not in _defaults(subject.family):
            self._fail("student", "student", "only built-in families with a width have narrower networks")
            return
        if subject.prepared.kind == "next_token":
            self._fail("student", "student", "a language model teaches no students here: their loss is that of tokens")
            return
        width = int(subject.config.get("width", _defaults(subject.family)["width"]))
        for factor in STUDENTS:
            name, narrow = f"student-{width // factor}", max(4, width // factor)
            if narrow >= width or self.record.variant(name) is not None:
                continue
            length = self._steps(subject.recipe.epochs)
            self.say(f"{name}: width {narrow} in the place of {width}; trained for {length}")
            try:
                network = student(subject, {**subject.config, "width": narrow}, lambda text: None)
                self._saved(name, "student", network, about={"width": narrow, "epochs": subject.recipe.epochs})
            except (BundleError, ArithmeticError) as error:
                self._fail(name, "student", str(error))

    # -- ONNX --------------------------------------------------------------------------------------------------------

    def _bases(self, original: Variant) -> list[str]:
        """Names of the torch networks that ONNX networks are made of: the smallest that keep enough of the score."""
        allowed = self.options.allowed(original.score)
        good = [v for v in self.record.variants if v.way in ("prune", "rank", "student") and not v.failed]
        good = [v for v in good if v.keeps(allowed)] or [v for v in good if not v.loses_surely(allowed)]
        return [v.name for v in sorted(good, key=lambda v: v.bytes)[:BASES]]

    def _onnx(self, base: str) -> None:
        """The ONNX networks of one torch network; `base`: its name, "" for the original."""
        modes = [(way, mode) for way in self.options.ways if way in MODES for mode in MODES[way]]
        names = {mode: f"{base}-{_ONNX[mode]}" if base else _ONNX[mode] for _, mode in modes}
        missing = [(way, mode) for way, mode in modes if self.record.variant(names[mode]) is None]
        if not missing:
            return
        subject = self.subject
        bundle = self.record.bundle(base) if base else subject.bundle
        with tempfile.TemporaryDirectory() as folder:
            try:
                from automl.bundle.io import load_model

                model = load_model(bundle, build=subject.build)
                ready = quantizing.float32(model, Path(folder))
            except BundleError as error:
                for way, mode in missing:
                    self._fail(names[mode], way, str(error), base)
                return
            for way, mode in missing:
                self.say(f"{names[mode]}: made with ONNX Runtime and measured")
                self._quantized(names[mode], way, mode, base, ready, model.config)

    def _quantized(
        self, name: str, way: str, mode: quantizing.Mode, base: str, ready: Path, config: "dict[str, object]"
    ) -> None:
        known = self.record.variant(base or ORIGINAL)
        note = quantizing.note_on(way)
        try:
            content = quantizing.network(ready, mode, self.subject.prepared.train.x)
            network = Network(config, onnx=content, int8=way == "int8")
            self._saved(name, way, network, base, known.parameters if known else 0, note, {"mode": mode})
        except BundleError as error:
            self._fail(name, way, str(error), base)
        except Exception as error:  # of the quantizer, whatever it is
            self._fail(name, way, f"ONNX Runtime: {type(error).__name__}: {str(error)[:200]}", base)

    # -- results -----------------------------------------------------------------------------------------------------

    def _saved(
        self, name: str, way: str, network: Network, base: str = "", parameters: int = 0, note: str = "",
        about: "dict[str, object] | None" = None,
    ) -> Variant:  # fmt: skip
        """Write the bundle of a variant, measure it, and write that down."""
        bundle, subject = self.record.bundle(name), self.subject
        what = {"name": name, "way": way, "base": base or ORIGINAL, **(about or {})}
        bundle.parent.mkdir(parents=True, exist_ok=True)
        writing.write(bundle, subject.bundle, network, subject.build, what, {})
        alone = what.get("mode") != "dynamic"
        variant = measured(subject.original, bundle, name, way, base, parameters, alone, note)
        what |= {key: getattr(variant, key) for key in ("bytes", "parameters", "latency_ms", "latency64_ms")}
        metrics = subject.holdout.metrics(bundle, "val")
        writing.write(bundle, subject.bundle, network, subject.build, what, metrics)
        return self._add(variant)

    def _fail(self, name: str, way: str, reason: str, base: str = "") -> Variant:
        return self._add(Variant(name, way, base, failed=reason))

    def _add(self, variant: Variant) -> Variant:
        self.record.add(variant)
        self.say(f"{variant.name}: {variant.failed or in_words(variant)}")
        return variant


_ONNX: dict[quantizing.Mode, str] = {"float32": "onnx", "static": "int8-static", "dynamic": "int8-dynamic"}


def _defaults(family: str) -> "dict[str, object]":
    from automl.models import family as known

    return dict(known(family).defaults)
