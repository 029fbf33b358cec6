"""Where the versions of a model lie.

STUDY/best/             the version that answers: a bundle, as the search leaves it
STUDY/versions/         (of a bundle without a study: BUNDLE.versions/ beside it)
    journal.json        all that is known: versions, updates, and which version answers
    lock                of the process that updates
    rows/DIGEST.npz     rows that were learned from or held out, a file for each batch
    v1/, v2/, ...       the bundles
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from automl.bundle import files as bundle_files
from automl.errors import BundleError
from automl.study import paths

VERSIONS = "versions"
JOURNAL = "journal.json"


@dataclass(frozen=True)
class Place:
    """The folders of one model.

    Attributes:
        bundle: the bundle that answers.
        folder: of the versions.
        study: the study it comes from, None for a bundle alone.
    """

    bundle: Path
    folder: Path
    study: Path | None = None

    @classmethod
    def of(cls, path: Path) -> Self:
        """The place of a study or a bundle.

        Raises:
            BundleError: there is neither.
        """
        if path.name == paths.BEST and (path.parent / paths.LEDGER).is_file():
            path = path.parent
        if (path / paths.LEDGER).is_file():
            found = cls(path / paths.BEST, path / VERSIONS, path)
        else:
            found = cls(path, path.with_name(f"{path.name}.{VERSIONS}"))
        if not found.journal.is_file():
            bundle_files.find(found.bundle)  # a journal can bring a lost bundle back; without one there must be one
            if found.study is None and not (path / bundle_files.MANIFEST).is_file():
                raise BundleError(f"{path} is neither a study nor a saved model")
        return found

    @property
    def journal(self) -> Path:
        """The file with all that is known."""
        return self.folder / JOURNAL

    def version(self, number: int) -> Path:
        """The bundle of a version."""
        return self.folder / f"v{number}"

    def rows(self, digest: str) -> Path:
        """The file of a batch of rows."""
        return self.folder / "rows" / f"{digest}.npz"

    @property
    def work(self) -> Path:
        """Where a challenger is made; what is in it means nothing."""
        return self.folder / ".work"
