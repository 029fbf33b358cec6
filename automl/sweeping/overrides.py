"""Hydra's overrides as a space, and configs as overrides.

model.lr=tag(log, interval(1e-4, 1e-1))  ->  {"model.lr": Float(1e-4, 1e-1, log=True)}
{"model.lr": 0.01}                       ->  ["model.lr=0.01"]
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automl.core.parameters import Choice, Float, Int, Parameter, Value
from automl.core.space import Space, is_described
from automl.errors import SpecError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_WORDS = {"null", "true", "false", "nan", "inf"}


@dataclass(frozen=True)
class Swept:
    """What is swept, and how it is told to Hydra.

    Attributes:
        space: names are Hydra's keys without a prefix; what has one value only is a constant.
        fixed: overrides that every job has, as they were given.
        keys: {name: the key with its prefix and package}, `+model.lr` or `db@backup`, where it differs from the name.
        texts: {name: {value in the space: as Hydra writes it}}, for values that no space can hold (mappings).
    """

    space: Space
    fixed: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def overrides(self, config: Mapping[str, Value]) -> list[str]:
        """The overrides of the job with this config."""
        own = [f"{self.keys.get(name, name)}={self._text(name, value)}" for name, value in config.items()]
        return [*self.fixed, *own]

    def _text(self, name: str, value: Value) -> str:
        known = self.texts.get(name, {})
        return known[value] if isinstance(value, str) and value in known else written(value)


def read(
    arguments: Sequence[str], params: Mapping[str, Any], space: Mapping[str, Any], loader: "ConfigLoader"
) -> Swept:
    """What is to be swept.

    Args:
        arguments: overrides of the command line; they replace entries of the other two.
        params: {key: Hydra's syntax, a list of values, or one value}.
        space: {key: an entry as in space.yaml}; keys may be nested.
        loader: knows the names of config groups, for `glob(*)`.

    Raises:
        SpecError: a parameter is no valid one; the message names it.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=loader)
    ours = dict(_flat(space, ""))
    lines = [f"{key}={_line(value)}" for key, value in _flat(params, "", described=False)]
    found: dict[str, Override] = {}
    fixed: dict[str, str] = {}
    for override in parser.parse_overrides([*lines, *arguments]):
        name = override.get_key_element().lstrip("+")
        for known in (found, fixed, ours):
            known.pop(name, None)
        if override.is_sweep_override():
            found[name] = override
        else:
            fixed[name] = str(override.input_line)
    return _swept(ours, found, fixed)


def _swept(ours: Mapping[str, Any], found: "Mapping[str, Override]", fixed: Mapping[str, str]) -> Swept:
    entries: dict[str, Any] = {}
    keys: dict[str, str] = {}
    texts: dict[str, Mapping[str, str]] = {}
    for key, entry in ours.items():
        name = key.lstrip("+")
        entries[name], keys[name] = entry, key
    for name, override in found.items():
        try:
            entries[name], texts[name] = _parameter(override)
        except SpecError as error:
            raise SpecError(f"{override.input_line}: {error}") from None
        keys[name] = override.get_key_element()
    return Swept(
        Space.of(entries), tuple(fixed.values()), {name: key for name, key in keys.items() if name != key},
        {name: known for name, known in texts.items() if known},
    )  # fmt: skip


def _parameter(override: "Override") -> tuple[Parameter, Mapping[str, str]]:
    """The parameter that an override describes, and the texts of its mappings."""
    swept: Any = override.value()
    log = "log" in (getattr(swept, "tags", None) or ())
    if override.is_interval_sweep():
        low, high = swept.start, swept.end
        return (Int if isinstance(low, int) and isinstance(high, int) else Float)(low, high, log=log), {}
    from hydra.core.override_parser.types import Override, QuotedString

    texts: dict[str, str] = {}

    def plain(element: Any) -> Any:
        if isinstance(element, QuotedString):
            return element.text
        if isinstance(element, list):
            return [plain(one) for one in element]
        if isinstance(element, dict):
            text = Override._get_value_element_as_str(element)
            texts[text] = text
            return text
        return element

    values = [plain(one) for one in override.sweep_iterator()]
    numbers = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
    if override.is_range_sweep() and len(numbers) == len(values) > 1:
        low, high, step = min(numbers), max(numbers), abs(numbers[1] - numbers[0])
        if not log or step == 1:
            return Int(low, high, log=log, step=step), {}
    return Choice(tuple(values), ordered=override.is_range_sweep()), texts


def _line(value: Any) -> str:
    """The part after `=` of an entry of `params`."""
    if isinstance(value, str):
        return value
    return ",".join(written(one) for one in value) if isinstance(value, list) and value else written(value)


def written(value: Any) -> str:
    """A value as Hydra reads it back: `null`, `true`, `0.1`, `adam`, `'two words'`, `[1,2]`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        from hydra.core.override_parser.types import Quote, QuotedString

        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, list | tuple):
        return f"[{','.join(written(one) for one in value)}]"
    return repr(value)


def _flat(tree: Mapping[str, Any], above: str, *, described: bool = True) -> Iterator[tuple[str, Any]]:
    """Nested entries by their dotted keys."""
    for key, entry in tree.items():
        name = f"{above}{key}"
        if isinstance(entry, Mapping) and not (described and is_described(entry)):
            yield from _flat(entry, f"{name}.", described=described)
        else:
            yield name, entry
