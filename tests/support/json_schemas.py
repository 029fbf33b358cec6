"""Checks what a command has printed with `--json` against its schema, without names that the schema does not have."""

import json
from collections.abc import Sequence
from typing import Any

ALIASES = {"leaderboard": "top", "check": "validate"}


def check_document(arguments: Sequence[object], out: str) -> None:
    """Assert that each line is a document of the command, in the words of the schema alone."""
    from jsonschema import Draft202012Validator

    from automl.cli.outputs import schemas

    words = [str(one) for one in arguments]
    name = ALIASES.get(words[0], words[0])
    command = " ".join(words[:2]) if name == "cluster" else name
    if command not in schemas.types():
        return  # there is no such command, which is an error of its own
    try:
        documents = [json.loads(out)]
    except ValueError:
        documents = [json.loads(line) for line in out.splitlines()]
    validator = Draft202012Validator(_closed(schemas.schema(command)))
    for document in documents:
        wrong = [inner for error in validator.iter_errors(document) for inner in error.context or [error]]
        assert not wrong, [f"{list(one.absolute_path)}: {one.message[:300]}" for one in wrong]


def _closed(node: Any) -> Any:
    """The schema with further names forbidden wherever it lists some."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _closed(one) for key, one in node.items()}
    if found.get("type") == "object" and isinstance(found.get("properties"), dict):
        found["additionalProperties"] = False
    return found
