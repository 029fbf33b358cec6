"""`automl strategies` and `automl spaces`: the installed plugins, with options and defaults."""

import dataclasses
import inspect
import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options
from automl.errors import SpecError, UnknownPlugin, did_you_mean

if TYPE_CHECKING:
    from automl.core import plugins


def strategies(json: options.Json = False) -> None:
    """List strategies and stoppers with their options."""
    from automl.core import plugins

    groups: tuple[plugins.Group, ...] = ("strategies", "stoppers")
    plugins_of = {group: [describe(group, name) for name in plugins.names(group)] for group in groups}
    if json:
        return typer.echo(json_module.dumps({"schema": 1, **plugins_of}, ensure_ascii=False, default=str))
    for group, members in plugins_of.items():
        typer.echo(f"{group}:")
        longest = max((len(m["name"]) for m in members), default=0)
        for m in members:
            typer.echo(f"  {m['name']:<{longest}}  {m['error'] or m['summary']}")
            for o in m["options"]:
                typer.echo(f"  {'':<{longest}}    {o['name']} = {_shown(o['default'])}")
    return None


def spaces(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The preset to print.")] = None,
    json: options.Json = False,
) -> None:
    """List the preset search spaces, or print one.

    Names without a slash are complete (`automl search digits`); the others are groups to take with `use:` in a spec.
    """
    from automl.specfile import presets

    known = presets.all_presets()
    if name is not None:
        if name not in known:
            raise SpecError(f"no preset {name!r}{did_you_mean(name, known)}")
        text = known[name].read_text(encoding="utf-8")
        whole = {"schema": 1, "name": name, "text": text}
        return typer.echo(json_module.dumps(whole, ensure_ascii=False) if json else text, nl=json)
    if json:
        listed = [{"name": n, "complete": "/" not in n, "summary": _first_comment(known[n].read_text(encoding="utf-8"))}
                  for n in sorted(known)]  # fmt: skip
        return typer.echo(json_module.dumps({"schema": 1, "spaces": listed}, ensure_ascii=False))
    longest = max((len(n) for n in known), default=0)
    for n in sorted(known, key=lambda n: ("/" in n, n)):
        typer.echo(f"{n:<{longest}}  {_first_comment(known[n].read_text(encoding='utf-8'))}".rstrip())
    return None


def describe(group: "plugins.Group", name: str) -> dict[str, Any]:
    """A plugin as plain data: name, summary, options and error (why it cannot be loaded, else None)."""
    from automl.core import plugins

    try:
        plugin = plugins.load(group, name)
    except UnknownPlugin as error:
        return {"name": name, "summary": "", "options": [], "error": str(error)}
    fields = dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else ()
    shown = [{"name": f.name, "type": str(f.type), "default": _default(f)} for f in fields if f.init]
    summary = (inspect.getdoc(plugin) or "").partition("\n")[0]
    return {"name": name, "summary": summary, "options": shown, "error": None}


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _shown(value: Any) -> str:
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _first_comment(text: str) -> str:
    """The description of a preset: its first line, when that is a comment."""
    first = text.lstrip().partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""
