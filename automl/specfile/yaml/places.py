"""Where each part of a specification comes from: the text of the file, an override, or a preset."""

from automl.specfile.yaml.complaint import Complaint, Path, dotted, printable
from automl.specfile.yaml.events import Document


class Places:
    """Collects complaints and warnings, and gives each the place that its path comes from.

    Args:
        document: the file as it was read; its own complaints are taken over.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.overrides: dict[Path, str] = {}
        self.complaints: list[Complaint] = list(document.complaints)
        self.warnings: list[Complaint] = []
        self.names_known = True  # False: a preset could not be read, so that an unknown name may be defined there
        self.found = 0  # complaints since the file was read, including those that are not shown

    def complain(self, path: Path, message: str, hint: str = "", *, key: bool = False, at: Path | None = None) -> None:
        """Note a complaint about `path`.

        It is not shown where the loader has already complained about the same value.

        Args:
            path: what is wrong.
            message: which rule it breaks.
            hint: how to mend it, appended to the message.
            key: show the place of the key rather than of the value.
            at: show the place of this path instead.
        """
        self.found += 1
        if not any(path[: len(refused)] == refused for refused in self.document.refused):
            self.complaints.append(self._placed(path, message, hint, key, at))

    def refused(self, path: Path) -> bool:
        """Whether the loader has refused a value at or below `path`."""
        return any(refused[: len(path)] == path for refused in self.document.refused)

    def warn(self, path: Path, message: str, *, key: bool = False) -> None:
        """Note a warning about `path`; `key`: show the place of the key rather than of the value."""
        self.warnings.append(self._placed(path, message, "", key, None))

    def line(self, path: Path) -> int:
        """The line of the key at `path`."""
        return self.document.source.place(self.document.at(path, key=True))[0]

    def _placed(self, path: Path, message: str, hint: str, key: bool, at: Path | None) -> Complaint:
        where = path if at is None else at
        for end in range(len(where), 0, -1):
            if label := self.overrides.get(where[:end]):
                return Complaint(label, 0, 0, dotted(path), printable(message, 400), printable(hint, 200))
        return self.document.source.complain(self.document.at(where, key=key), path, message, hint)
