"""What a streamed table is asked for, and how much of it is handled at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl.data.reading.many import files
from automl.data.reading.many.files import File
from automl.data.reading.many.table import Table


@dataclass(frozen=True)
class Sizes:
    """How much of a table is handled at once.

    Attributes:
        shard: bytes of prepared inputs of one shard, at least; two shards and a batch are in memory while training.
        chunk: bytes of the table, read at once.
        fit: bytes of the training rows that the preparation is fitted on, at most.
        fit_rows: their number, at most.
        known: a table with more rows than this is split without its targets in memory.
        alone: bytes of the table for which another process is started.
    """

    shard: int = 2**22
    chunk: int = 2**23
    fit: int = 2**28
    fit_rows: int = 1_000_000
    known: int = 2**21
    alone: int = 2**29


@dataclass(frozen=True)
class Request:
    """What `load` was asked for: the arguments of `automl.data.load` for a table in files."""

    files: tuple[File, ...]
    target: str | None
    rules: Mapping[str, Any]
    options: Mapping[str, Any]
    seed: int
    sizes: Sizes = Sizes()

    @staticmethod
    def of(
        source: str | Path, target: str | None, rules: Mapping[str, Any], options: Mapping[str, Any], seed: int,
        base: Path = Path(), sizes: Sizes | None = None,
    ) -> "Request":  # fmt: skip
        """The request for the table that `source` names.

        Raises:
            DataError: it names none.
        """
        found = files.find(source, base)
        if not found:
            raise files.no_table(source, base)
        return Request(tuple(found), target, rules, options, seed, sizes or Sizes())

    @property
    def table(self) -> Table:
        """The table."""
        return Table(self.files, self.options)

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "files": [file.to_json() for file in self.files], "target": self.target, "rules": dict(self.rules),
            "options": dict(self.options), "seed": self.seed, "sizes": asdict(self.sizes),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Request":
        """What `to_json` made."""
        found = tuple(File.from_json(file) for file in data["files"])
        sizes = Sizes(**data["sizes"])
        return cls(found, data["target"], data["rules"], data["options"], data["seed"], sizes)
