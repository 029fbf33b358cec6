"""The description of the server: OpenAPI 3.1 for programs, made of the schemas of its models, and a page for people."""

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

from automl.serving.inputs.bodies import ARROW, CSV, JSON, NPY
from automl.serving.inputs.schema import TYPES, Field, InputSchema
from automl.serving.models.registry import Registry
from automl.serving.models.served import Served

PROBLEM = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "where"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "where": {"type": ["string", "null"]},
            },
        }
    },
}
STATUSES = {
    "400": "the body cannot be read", "401": "no valid key", "404": "no such model or version",
    "408": "the body was not there in time", "413": "too many rows or bytes", "415": "a body of another type",
    "422": "rows do not fit the model", "429": "too many requests", "503": "too busy; see Retry-After",
}  # fmt: skip


def description(base: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """The whole document. `base`: what the framework says of the other paths."""
    current = [route.current for route in registry.routes.values()]
    document = {**base, "paths": dict(base.get("paths", {}))}
    schemas = {f"{served.name}_row": row_schema(served.schema) for served in current}
    schemas |= {"Problem": PROBLEM}
    components = document.get("components", {})
    document["components"] = {
        **components,
        "schemas": {**components.get("schemas", {}), **schemas},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    if registry.settings.keys:
        document["security"] = [{"key": []}]
    for path, methods in document["paths"].items():
        if "{name}" in path:
            document["paths"][path] = {method: _named(one, list(registry.routes)) for method, one in methods.items()}
    document["paths"]["/v1/predict"] = {"post": _predict(current)}
    return document


def _named(operation: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The description of a path with a model's name in it, with the names that there are."""
    schema = {"type": "string", "enum": names}
    given = [{**one, "schema": schema} if one["name"] == "name" else one for one in operation["parameters"]]
    return {**operation, "parameters": given}


def _predict(current: list[Served]) -> dict[str, Any]:
    rows = [{"$ref": f"#/components/schemas/{served.name}_row"} for served in current]
    row = rows[0] if len(rows) == 1 else {"anyOf": rows}
    body = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {"type": "array", "minItems": 1, "items": row},
            "model": {"type": "string", "enum": [served.name for served in current]},
            "version": {"type": "string"},
            "proba": {"type": "boolean"},
        },
    }
    examples = {served.name: {"value": example(served, len(current) > 1)} for served in current}
    binary = {"schema": {"type": "string", "contentEncoding": "binary"}}
    content = {JSON: {"schema": body, "examples": examples}, CSV: {"schema": {"type": "string"}}}
    problem = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    options = [("model", "string"), ("version", "string"), ("proba", "boolean")]
    return {
        "summary": "Predict rows",
        "operationId": "predict",
        "parameters": [{"name": n, "in": "query", "required": False, "schema": {"type": t}} for n, t in options],
        "requestBody": {"required": True, "content": {**content, ARROW: binary, NPY: binary}},
        "responses": {
            "200": {"description": "the predictions", "content": {JSON: {"schema": _answer()}, CSV: {}, ARROW: {}}},
            **{status: {"description": why, **problem} for status, why in STATUSES.items()},
        },
    }


def _answer() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("model", "version", "request_id")}
    return {
        "type": "object",
        "required": [*texts, "predictions", "warnings"],
        "properties": {
            **texts,
            "targets": {"type": "array", "description": "of a row's predictions, where there are several"},
            "predictions": {"type": "array"},
            "classes": {"type": "array"},
            "probabilities": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
            "series": {"type": "array", "items": {"type": "string"}},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
    }


def row_schema(schema: InputSchema) -> dict[str, Any]:
    """JSON Schema of one row of a model."""
    if schema.form == "text":
        return {"type": "string"}
    if schema.form == "array":
        items: dict[str, Any] = {"type": ["number", "null"]}
        for length in reversed(schema.shape):
            items = {"type": "array", "items": items, "minItems": length, "maxItems": length}
        return items
    properties = {one.name: _property(one) for one in schema.fields}
    return {
        "type": "object",
        "required": [one.name for one in schema.used],
        "properties": {**properties, **{name: {} for name in sorted(schema.ignored)}},
        "additionalProperties": False,
    }


def _property(one: Field) -> dict[str, Any]:
    if one.role == "unused":
        return {"description": "allowed, and not looked at"}
    if one.role == "category":
        some = ", ".join(one.values[:20])
        return {"type": ["string", "number", "boolean", "null"], "description": f"categories in training: {some}"}
    described = {}
    if "least" in one.seen and one.role == "number":
        described = {"description": f"in training {one.seen['least']:g} to {one.seen['most']:g}"}
    if one.role == "number":
        return {"type": ["number", "null"], **described}
    return {"type": ["string", "null"], "format": one.role, "description": f"a {TYPES.get(one.role, one.role)}"}


def example(served: Served, named: bool) -> dict[str, Any]:
    """A body that the model answers. `named`: whether it has to name the model."""
    return {**({"model": served.name} if named else {}), "rows": list(served.schema.sample)}


def page(document: Mapping[str, Any], registry: Registry, address: str) -> str:
    """The description as a plain page: each path, and for each model its columns and a call with its sample rows."""
    lines = ["<h1>What this server answers</h1>", "<table><tr><th>path</th><th>what</th></tr>"]
    for path, methods in sorted(document["paths"].items()):
        for method, one in methods.items():
            lines.append(f"<tr><td><code>{method.upper()} {html.escape(path)}</code></td>"
                         f"<td>{html.escape(one.get('summary', ''))}</td></tr>")  # fmt: skip
    lines.append("</table>")
    key = " -H 'Authorization: Bearer KEY'" if registry.settings.keys else ""
    for route in registry.routes.values():
        lines += _model_section(route.current, len(registry.routes) > 1, f"{address}/v1/predict{key}")
    lines += ["<h2>Refusals</h2>", "<table>", *(f"<tr><td>{s}</td><td>{w}</td></tr>" for s, w in STATUSES.items())]
    lines += ["</table>", "<p>Each has a body such as</p>"]
    refusal = {"error": {"code": "unknown_column", "message": "the model knows no column 'agee'", "where": "rows[0]"}}
    lines.append(f"<pre>{html.escape(json.dumps(refusal))}</pre>")
    lines.append('<p>For programs: <a href="/openapi.json">openapi.json</a>. <a href="/">The live page</a>.</p>')
    return shell("API", "\n".join(lines))


def _model_section(served: Served, named: bool, address: str) -> Iterable[str]:
    body = json.dumps(example(served, named))
    yield f"<h2>{html.escape(served.name)} {html.escape(served.version)} ({served.kind})</h2>"
    if served.schema.fields:
        yield "<table><tr><th>column</th><th>kind</th><th>in training</th></tr>"
        for one in served.schema.fields:
            span = (
                f"{one.seen['least']:g} to {one.seen['most']:g}" if "least" in one.seen else ", ".join(one.values[:12])
            )
            yield f"<tr><td>{html.escape(one.name)}</td><td>{one.role}</td><td>{html.escape(span)}</td></tr>"
        yield "</table>"
    elif served.schema.shape:
        yield f"<p>Each row is an array of numbers of shape {list(served.schema.shape)}.</p>"
    shown = body if len(body) < 4000 else f"{body[:4000]}..."
    quoted = shown.replace("'", "'\\''")
    call = f"curl {address} -H 'Content-Type: application/json' -d '{quoted}'"
    yield f"<pre>{html.escape(call)}</pre>"


def shell(title: str, content: str, script: str = "") -> str:
    """A whole page with our own style sheet."""
    tail = f'<script src="{script}" defer></script>' if script else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/page.css">{tail}</head>'
        f"<body><main>{content}</main></body></html>"
    )
