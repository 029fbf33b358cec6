"""JSON Schemas (draft 2020-12) of what commands print with `--json`, made from the types of their documents."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from automl.cli.outputs import documents, further
from automl.errors import SpecError, did_you_mean

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def types() -> Mapping[str, tuple[Any, ...]]:
    """{command: the types of its documents}; a dataclass stands for its fields beside the number of the schema."""
    from automl.data.streaming.planning import Estimate
    from automl.executors.clusters.nodes import Node
    from automl.integrations.importing.study import Imported
    from automl.study.ledger.repair import Repaired
    from automl.view.pages.doctor import Finding

    d, f = documents, further
    return {
        "search": (d.Result, d.Plan), "resume": (d.Result,), "fit": (d.Result,), "status": (d.Status,),
        "start": (d.Started,), "stop": (d.Stopped,), "edit": (d.Edited,), "import": (Imported,), "top": (d.Top,),
        "show": (d.Show,), "watch": (d.Watched,), "compare": (d.Compare,), "judge": (d.Judge,), "plot": (f.OneFile,),
        "report": (f.OneFile,), "compress": (f.Compress,), "export": (f.Export,), "predict": (f.Predict,),
        "update": (f.Update,), "versions": (f.Versions,), "init": (f.Init,), "validate": (d.Valid, d.Invalid),
        "data": (f.Data, (Estimate, {"source": str, "done": bool})), "mup-check": (f.MupCheck,),
        "strategies": (f.Strategies,), "spaces": (f.Spaces, f.Space),
        "doctor": (({}, {"findings": list[Finding]}), ({}, {"nodes": list[Node]})),
        "cluster slurm": (f.Cluster,), "cluster ssh": (f.Cluster,), "cluster k8s": (f.Cluster,),
        "repair": (Repaired,),
    }  # fmt: skip


def schema(command: str) -> dict[str, Any]:
    """The schema of all that `automl COMMAND --json` may print, its errors too.

    Raises:
        SpecError: there is no such command, or it takes no `--json`.
    """
    known = types()
    if command not in known:
        raise SpecError(
            f"no command {command!r} prints JSON{did_you_mean(command, known)}; these do: {', '.join(known)}"
        )
    definitions: dict[str, Any] = {}
    several = [_one(kind, definitions) for kind in (*known[command], documents.Error)]
    return {"$schema": DRAFT, "title": f"automl {command} --json", "anyOf": several, "$defs": definitions}


def _one(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of one type; what it refers to goes to `definitions`."""
    base, more = kind if isinstance(kind, tuple) else (kind, {})
    made: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    if base:
        made = TypeAdapter(base).json_schema(mode="serialization", ref_template="#/$defs/{model}")
    for name, annotation in ({} if "schema" in made["properties"] else {"schema": documents.Schema, **more}).items():
        made["properties"][name] = TypeAdapter(annotation).json_schema(ref_template="#/$defs/{model}")
        made["required"] = [*made.get("required", ()), name]
        definitions |= made["properties"][name].pop("$defs", {})
    if not isinstance(base, dict) and "schema" not in getattr(base, "__annotations__", {}):
        made["required"] = list(made["properties"])  # a dataclass is printed whole
    definitions |= made.pop("$defs", {})
    return made
