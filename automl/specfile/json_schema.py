"""JSON Schema (draft 7) of `space.yaml`, for editors: completion, types and descriptions while writing.

It accepts more than the loader does (it cannot express that low < high); what it refuses, the loader refuses too.
"""

import json
from typing import Any

from automl.specfile.entries.parameters import PARAMETERS
from automl.specfile.grammar import SpecModel

ITEM = {"type": ["string", "number", "boolean", "null", "array"]}


def schema() -> dict[str, Any]:
    """The schema as plain data."""
    whole = SpecModel.model_json_schema(by_alias=True)
    definitions = whole.pop("$defs", {})
    for kind, model in PARAMETERS.items():
        own = model.model_json_schema(by_alias=True)
        definitions |= own.pop("$defs", {})
        definitions[f"{kind}_parameter"] = own
    definitions["parameter"] = {
        "description": "a range, a choice (a list) or a constant",
        "anyOf": [
            *({"$ref": f"#/$defs/{kind}_parameter"} for kind in PARAMETERS),
            {"type": "array", "minItems": 1, "items": ITEM},
            {"type": ["string", "number", "boolean"]},
        ],
    }
    parameter = {"$ref": "#/$defs/parameter"}
    definitions["group"] = {
        "type": "object",
        "properties": {"use": {"type": "string", "description": "the preset to use, e.g. mlp"}},
        "additionalProperties": parameter,
    }
    whole["properties"]["space"] = {
        "type": "object",
        "description": "groups of parameters, or parameters",
        "additionalProperties": {"anyOf": [parameter, {"$ref": "#/$defs/group"}]},
    }
    lengths = ({"required": ["model", "data", length]} for length in ("epochs", "steps"))
    whole["anyOf"] = [*lengths, {"required": ["train"]}, {"required": ["command"]}]
    whole["title"] = "automl search specification"
    named = {"$schema": "http://json-schema.org/draft-07/schema#", **_plain(whole), "definitions": _plain(definitions)}
    written: dict[str, Any] = json.loads(json.dumps(named).replace('"#/$defs/', '"#/definitions/'))
    return written


def _plain(node: Any) -> Any:
    """Without pydantic's titles and null defaults, which only clutter what an editor shows."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _properties(value) if key in ("properties", "definitions", "$defs") else _plain(value)
        for key, value in node.items()
        if not (key == "title" and node.get("type") != "object") and not (key == "default" and value is None)
    }


def _properties(node: dict[str, Any]) -> dict[str, Any]:
    """A mapping of names to schemas: a property may itself be called title or default."""
    return {name: _plain(value) for name, value in node.items()}
