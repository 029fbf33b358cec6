"""Where each part of a specification came from: the file's text, an override, or a preset."""

from automl.specfile.yaml.complaint import Complaint, Path, dotted, printable
from automl.specfile.yaml.events import Document


class Places:
    """Collects complaints and gives each the place its path came from."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.overrides: dict[Path, str] = {}
        self.complaints: list[Complaint] = list(document.complaints)
        self.warnings: list[Complaint] = []
        self.names_known = True  # False: a preset could not be read, so an unknown name may be one of its
        self.found = 0  # complaints since reading, those that were not worth a line included

    def complain(self, path: Path, message: str, hint: str = "", *, key: bool = False, at: Path | None = None) -> None:
        """Note a complaint about `path`, shown at the place of `at` (default: of `path` itself).

        What the loader has already complained about is not judged again.
        """
        self.found += 1
        if not any(path[: len(refused)] == refused for refused in self.document.refused):
            self.complaints.append(self._made(path, message, hint, key, at))

    def refused(self, path: Path) -> bool:
        """Whether the loader has refused something at or below `path`."""
        return any(refused[: len(path)] == path for refused in self.document.refused)

    def warn(self, path: Path, message: str, *, at: Path | None = None) -> None:
        self.warnings.append(self._made(path, message, "", False, at))

    def line(self, path: Path) -> int:
        """The line of the key at `path`."""
        return self.document.source.place(self.document.at(path, key=True))[0]

    def _made(self, path: Path, message: str, hint: str, key: bool, at: Path | None) -> Complaint:
        where = path if at is None else at
        for end in range(len(where), 0, -1):
            if label := self.overrides.get(where[:end]):
                return Complaint(label, 0, 0, dotted(path), printable(message, 400), printable(hint, 200))
        return self.document.source.complain(self.document.at(where, key=key), path, message, hint)
