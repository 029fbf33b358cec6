"""Variants of a winner that answers together: an ensemble, the models of several folds, or trees.

First fewer members, chosen greedily as those of the ensemble were; then fewer trees; then a single network
that has learned from all of them (`students`). Of the best of these, and of the winner, ONNX networks are made, in
float32 and, for networks, in int8. A winner of folds is scored on what each of its models has not learned from, and so
is all that is made of it. What is finished is in the record, and is not made again.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from automl.bundle.compressed import writing
from automl.bundle.compressed.writing import Network
from automl.compression.choosing import ORIGINAL
from automl.compression.joint import pieces, students
from automl.compression.joint.pieces import OnnxNetworks, Piece
from automl.compression.measuring import Variant, in_words, measured
from automl.compression.options import CompressOptions
from automl.compression.record import CompressionRecord
from automl.compression.subject import Original
from automl.compression.ways import quantizing, tree_pruning
from automl.errors import BundleError
from automl.evaluation import ensemble_selection

SIZES = (21, 13, 8, 5, 3, 2, 1)
"""So many members at most, one variant each."""
MODES: dict[str, quantizing.Mode] = {"onnx": "float32", "int8": "static"}
BASES = 3
"""The number of smaller variants that are also made into ONNX networks, besides the winner."""


@dataclass(frozen=True)
class JointSearch:
    """Makes and measures variants of a winner that answers together.

    Attributes:
        original: the winner.
        record: what is known already, and where results go.
        options: what is asked.
        say: called with each progress message.
    """

    original: Original
    record: CompressionRecord
    options: CompressOptions
    say: Callable[[str], None]

    def run(self) -> list[Variant]:
        """Make and measure the variants that do not exist yet; returns all variants, the original first."""
        if self.record.variant(ORIGINAL) is None:
            self._add(measured(self.original, self.original.bundle, ORIGINAL, ""))
        if "fewer" in self.options.ways:
            self._until_too_much(self._fewer())
        if "prune" in self.options.ways:
            for base in ["", *self._kept(("fewer",))[:1]]:
                self._until_too_much(self._pruned(base))
        if "student" in self.options.ways:
            self._student()
        with tempfile.TemporaryDirectory() as folder:
            networks = OnnxNetworks(self.original, Path(folder))
            for base in ["", *self._kept(("fewer", "prune", "student"))[:BASES]]:
                self._onnx(base, networks)
        return self.record.variants

    # -- which ones --------------------------------------------------------------------------------------------------

    @property
    def _allowed(self) -> float:
        original = self.record.variant(ORIGINAL)
        assert original is not None
        return self.options.allowed(original.score)

    def _kept(self, ways: Iterable[str]) -> list[str]:
        """Names of the variants of these ways that keep enough of the score, or may, the smallest first."""
        good = [v for v in self.record.variants if v.way in ways and not v.failed]
        good = [v for v in good if v.keeps(self._allowed)] or [v for v in good if not v.loses_surely(self._allowed)]
        return [v.name for v in sorted(good, key=lambda v: v.bytes)]

    def _until_too_much(self, variants: Iterable[Variant]) -> None:
        """Make one after the other, until one surely loses more than is allowed."""
        for variant in variants:
            if not variant.failed and variant.loses_surely(self._allowed):
                break

    def _pieces(self, base: str) -> list[Piece]:
        """The networks of a variant; `base`: its name, "" for the winner."""
        return self._winner if not base else pieces.pieces(self.original, self.record.bundle(base))

    @cached_property
    def _winner(self) -> list[Piece]:
        return pieces.pieces(self.original, self.original.bundle)

    # -- the ways ----------------------------------------------------------------------------------------------------

    def _fewer(self) -> Iterable[Variant]:
        """Ensembles of fewer of the members, chosen on the validation rows."""
        groups = {piece.group: self._output(piece) for piece in self._winner}
        done: list[Mapping[str, int]] = []
        for size in (size for size in SIZES if size < len(groups)):
            choice = ensemble_selection.choose(groups, self.original.holdout, size)
            if choice.weights in done:
                continue
            done.append(choice.weights)
            stay = [replace(p, weight=choice.weights[p.group]) for p in self._winner if p.group in choice.weights]
            name = f"fewer-{len(choice.weights)}"
            yield self._variant(name, "fewer", "", stay, Piece.network, f"members: {', '.join(choice.weights)}")

    def _output(self, piece: Piece) -> torch.Tensor:
        """[N, units] of a member on the validation rows."""
        bundle = self.original.bundle
        member = bundle if len(self._winner) == 1 or piece.bundle == bundle else bundle / piece.group
        return self.original.holdout.outputs(member, "val")

    def _pruned(self, base: str) -> Iterable[Variant]:
        """Members of fewer trees."""
        names = {f"{base}-prune-{100 * share:.0f}".removeprefix("-"): share for share in tree_pruning.SHARES}
        of = self._pieces(base) if any(self.record.variant(name) is None for name in names) else []
        if of and not any(piece.has_trees for piece in of):
            return
        for name, share in names.items():

            def made(piece: Piece, share: float = share) -> Network:
                return piece.pruned(self.original, share)

            yield self._variant(name, "prune", base, of, made)

    def _student(self) -> None:
        """One network that has learned from all of them."""
        winner, original, name = self._winner, self.original, "student"
        if self.record.variant(name) is not None or len(winner) == 1:
            return
        group = students.best_network(original, winner, self._output)
        if group is None:
            self._add(Variant(name, name, failed="there is no network among the members that it could begin as"))
            return
        step, epochs = original.recipe.unit.step, self.options.epochs or max(2, -(-original.recipe.epochs // 2))
        self.say(f"{name}: begins as {group}, and learns from {len(winner)} networks for {epochs} {step}s")
        try:
            made = students.teach(original, winner, group, epochs, lambda text: self.say(f"{name}: {text}"))
        except ArithmeticError as error:
            self._add(Variant(name, name, failed=str(error)))
            return
        alone = replace(made.begun_as, fold=None, weight=1)
        siblings = [replace(p, weight=1) for p in winner if p.group == group and p.fold is not None]
        note = f"scored by {len(siblings)} siblings, each on rows of a fold that it has not seen" if siblings else ""
        self._variant(
            name, name, "", [alone], lambda _: made.network, note, siblings=siblings,
            sibling=lambda piece: made.siblings[piece.fold or 0],
        )  # fmt: skip

    def _onnx(self, base: str, networks: OnnxNetworks) -> None:
        """ONNX networks; in int8 where there are networks that are no trees."""
        names = {way: f"{base}-{way}".removeprefix("-") for way in MODES if way in self.options.ways}
        missing = [way for way, name in names.items() if self.record.variant(name) is None]
        known = self.record.variant(base or ORIGINAL)
        of = self._pieces(base) if missing else []
        for way in missing:
            if way == "int8" and all(piece.has_trees for piece in of):
                continue

            def made(piece: Piece, mode: quantizing.Mode = MODES[way]) -> Network:
                return networks.of(piece, mode)

            parameters, scored = known.parameters if known else 0, self.record.siblings(base or ORIGINAL)
            siblings = pieces.pieces(self.original, scored) if scored.is_dir() else []
            self._variant(names[way], way, base, of, made, quantizing.note_on(way), parameters, siblings)

    # -- results -----------------------------------------------------------------------------------------------------

    def _variant(
        self, name: str, way: str, base: str, of: list[Piece], made: Callable[[Piece], Network], note: str = "",
        parameters: int = 0, siblings: Sequence[Piece] = (), sibling: Callable[[Piece], Network] | None = None,
    ) -> Variant:  # fmt: skip
        """Make a variant, measure it, and write that down, unless that was done before.

        Args:
            name, way, base, note, parameters: see `measured`.
            of: the networks that it is made of.
            made: what becomes of each.
            siblings: the networks that are scored in its place.
            sibling: what becomes of each of these; None: `made`.
        """
        if (known := self.record.variant(name)) is not None:
            return known
        bundle, about = self.record.bundle(name), {"name": name, "way": way, "base": base or ORIGINAL}
        try:
            pieces.assembled(bundle, self.original, of, made, about)
            if siblings:
                pieces.assembled(self.record.siblings(name), self.original, siblings, sibling or made, about)
            scored = self.record.scored(name)
            variant = measured(self.original, bundle, name, way, base, parameters, note=note, scored=scored)
        except BundleError as error:
            return self._add(Variant(name, way, base, failed=str(error)))
        writing.add_scores(bundle, self.original.holdout.metrics(scored, "val"), {}, [])
        return self._add(variant)

    def _add(self, variant: Variant) -> Variant:
        self.record.add(variant)
        self.say(f"{variant.name}: {variant.failed or in_words(variant)}")
        return variant
