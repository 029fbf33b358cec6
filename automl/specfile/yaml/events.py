"""A safe and exact YAML loader: plain data from `yaml.parse` events, with the place of every key and value.

Scalars follow the core schema of YAML 1.2: `1e-3` is a number, `no`, `on` and `12:30` are text, `010` is ten. Refused,
because a search space needs none of it and each has caused harm elsewhere: tags, anchors and aliases, merges, repeated
keys, several documents, directives, NaN and infinity, keys that are not text. Limits make hostile files cheap to
refuse. PyYAML's pure-Python parser is used on purpose: its C parser crashes on 100,000 brackets.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from automl.specfile.yaml.complaint import SHOWN, Complaint, Path, Source

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 5_000
MAX_SCALAR = 64 * 1024
MAX_INT = 2**63

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufeff\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Document:
    """What was read: `value` is plain data; `keys` and `values` give the offset of each key and value, by path."""

    source: Source
    value: Any = None
    keys: dict[Path, int] = field(default_factory=dict)
    values: dict[Path, int] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)  # paths whose key or value was not accepted

    def complain(self, offset: int, path: Path, message: str, hint: str = "") -> None:
        """Note a complaint about what stands at `offset`."""
        self.complaints.append(self.source.complain(offset, path, message, hint))

    def at(self, path: Path, *, key: bool = False) -> int:
        """The offset of the value (or `key`) at `path`, or of the nearest value around it."""
        for end in range(len(path), -1, -1):
            for where in (self.keys, self.values) if key else (self.values, self.keys):
                if path[:end] in where:
                    return where[path[:end]]
            key = False
        return 0


class _Enough(Exception):
    """Reading cannot continue; the complaints have been noted."""


def load(content: str | bytes, file: str) -> Document:
    """Read one YAML document.

    Never raises: mistakes are in `complaints`, and `value` is None if reading could not continue.

    Args:
        content: the text, or the bytes of a file.
        file: what complaints call it.
    """
    text, wrong = _decode(content)
    document = Document(Source(text, file))
    if wrong is None and len(content) > MAX_BYTES:
        wrong = (0, f"the file is larger than {MAX_BYTES // 1024} KiB")
    if wrong is None and (bad := _FORBIDDEN.search(text)):
        wrong = (bad.start(), f"the character U+{ord(bad[0]):04X} is not allowed here")
    if wrong is not None:
        document.complain(wrong[0], (), wrong[1])
        return document
    try:
        document.value = _Reader(document).read()
    except _Enough:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark and mark.index >= len(text) and error.context_mark:
            mark = error.context_mark  # the beginning of an unclosed bracket is more useful than the end of the file
        document.complain(mark.index if mark else 0, (), *_syntax(error))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no known text gets here; the fuzzer checks that
        document.complain(0, (), f"cannot be read as YAML: {error}")
    return document


def _decode(content: str | bytes) -> tuple[str, tuple[int, str] | None]:
    if isinstance(content, str):
        return content.removeprefix("\ufeff"), None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "", (0, "the file is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        wrong = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        return before + "\ufffd", (len(before), wrong)


def _syntax(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    problem = str(error.problem)
    if "'\\t'" in problem:
        return "a tab cannot indent or start a value here; use spaces", ""
    if "mapping values are not allowed" in problem:
        return (
            "a `:` is not allowed here",
            "; put text that contains `: ` in quotes, and check the indentation of this line",
        )
    if "could not find expected ':'" in problem:
        return "this line is not of the form `key: value`", "; a `:` followed by a space is missing"
    if "expected ',' or ']'" in problem or "expected ',' or '}'" in problem:
        found = problem.replace("'<stream end>'", "the end of the file")
        return f"a list or mapping in brackets is not closed: {found}", ""
    if "<stream end>" in problem:
        return "the file ends before a list or mapping in brackets is closed", ""
    if "end of stream" in problem and "quoted" in str(error.context):
        return "the closing quote is missing", ""
    if "cannot start any token" in problem:
        return f"{problem}", "; put it in quotes"
    if "expected <block end>" in problem:
        return "this line does not match the structure above it", "; check the indentation"
    context = f" {error.context}" if error.context else ""
    return f"not valid YAML: {problem}{context}", ""


def _offset(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark else 0


class _Reader:
    """Builds plain data from parser events and notes the places, within the limits above."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0
        self.events = yaml.parse(document.source.text, Loader=yaml.SafeLoader)

    def read(self) -> Any:
        """The value of the only document; None where there is none."""
        value, documents = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.fatal(event, (), "a file may have only one YAML document; a second one begins here")
                if event.version or event.tags:
                    self.complain(event, (), "directives (%YAML, %TAG) are not supported")
            elif isinstance(event, yaml.NodeEvent):
                value = self.node(event, ())
        if documents == 0:
            self.document.complain(0, (), "the file is empty")
        return value

    def complain(self, event: yaml.Event, path: Path, message: str, hint: str = "") -> None:
        """Note a complaint; after more than can be shown, reading stops."""
        self.document.complain(_offset(event), path, message, hint)
        if len(self.document.complaints) > SHOWN:
            raise _Enough

    def fatal(self, event: yaml.Event, path: Path, message: str) -> None:
        """Note a complaint and stop reading."""
        self.complain(event, path, message)
        raise _Enough

    def node(self, event: yaml.Event, path: Path) -> Any:
        """The value that begins with `event`."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fatal(event, (), f"the file has more than {MAX_NODES} values")
        if len(path) > MAX_DEPTH:
            self.fatal(event, (), f"the file is nested deeper than {MAX_DEPTH} levels")
        self.document.values[path] = _offset(event)
        if isinstance(event, yaml.AliasEvent):
            self.document.refused.add(path)
            self.complain(event, path, f"aliases (*{event.anchor}) are not supported; write the value out")
            return None
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.anchor is not None:
            self.complain(event, path, f"anchors (&{event.anchor}) are not supported")
        if event.tag is not None:
            self.document.refused.add(path)
            hint = '; quote the text if it begins with "!"'
            self.complain(event, path, f"tags ({event.tag}) are not supported", hint)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        assert isinstance(event, yaml.ScalarEvent)
        return self.scalar(event, path)

    def sequence(self, path: Path) -> list[Any]:
        """The items of a list whose start has been read."""
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, (*path, len(items))))
        return items

    def mapping(self, path: Path) -> dict[str, Any]:
        """The entries of a mapping whose start has been read; of a repeated key the first value counts."""
        items: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self.key(event, path)
            place = _offset(event)
            if name in items:
                line = self.document.source.place(self.document.keys[(*path, name)])[0]
                self.complain(event, (*path, name), f"the key appears twice (first in line {line})")
                first = self.document.values[(*path, name)]
                self.node(next(self.events), (*path, name))
                self.document.values[(*path, name)] = first
                continue
            self.document.keys[(*path, name)] = place
            items[name] = self.node(next(self.events), (*path, name))
        return items

    def key(self, event: yaml.Event, path: Path) -> str:
        """The text of a key."""
        if not isinstance(event, yaml.ScalarEvent):
            self.fatal(event, path, "a key must be text")
        assert isinstance(event, yaml.ScalarEvent)
        self.nodes += 1
        if event.anchor is not None or event.tag is not None:
            self.complain(event, path, "anchors and tags are not supported")
        name = str(event.value)
        if event.style is None and name == "<<":
            self.document.refused.add((*path, name))
            self.complain(event, path, "merges (<<) are not supported; write the entries out")
        elif len(name) > 200:
            self.fatal(event, path, "the key is longer than 200 characters")
        elif event.style is None and not isinstance(resolved := _plain(name), str):
            self.document.refused.add((*path, name))
            kind = "null" if resolved is None else type(resolved).__name__.lower()
            self.complain(event, path, f"a key must be text, got {_shown(name)} ({kind})", f'; write "{name[:40]}"')
        return name

    def scalar(self, event: yaml.ScalarEvent, path: Path) -> Any:
        """The value of a scalar: quoted ones are text."""
        text = str(event.value)
        if len(text) > MAX_SCALAR:
            self.fatal(event, path, f"the value is longer than {MAX_SCALAR // 1024} KiB")
        if event.style is not None:
            return text
        value = _plain(text)
        if isinstance(value, _Refused):
            self.document.refused.add(path)
            self.complain(event, path, value.why)
            return None
        return value


@dataclass(frozen=True)
class _Refused:
    why: str


def _shown(text: str) -> str:
    return text if len(text) <= 30 else text[:27] + "..."


def _plain(text: str) -> Any:
    """The value of a plain (unquoted) scalar, by the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    if len(text) > 1000 and (_FLOAT.fullmatch(text) or _HEX.fullmatch(text) or _OCT.fullmatch(text)):
        return _Refused(f"the number {_shown(text)} has too many digits")
    for pattern, base in ((_INT, 10), (_OCT, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            number = int(text if base == 10 else text[2:], base)
            return number if abs(number) <= MAX_INT else _Refused(f"the number {_shown(text)} is larger than 2^63")
    if _FLOAT.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else _Refused(f"the number {_shown(text)} is too large")
    if _NOT_FINITE.fullmatch(text):
        return _Refused(f"{text} is not a finite number")
    return text
