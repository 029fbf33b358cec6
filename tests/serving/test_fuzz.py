"""Mutated requests: no fault, no traceback, one shape for refusals."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from automl.testing.stress.service import described, mutants


@pytest.mark.filterwarnings("ignore")
def test_mutated_requests_are_answered_or_refused(tmp_path: Path) -> None:
    found, statuses, _ = asyncio.run(mutants.answers(tmp_path, 250, 3))
    assert not found
    assert len(statuses) > 5
    assert statuses[200] > 25


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, {"error": {"code": "x", "message": "y", "where": None}}),
        (422, {"detail": []}),
        (400, {"error": {"code": "x", "message": "", "where": None}}),
        (200, "Traceback (most recent call last)"),
    ],
)
def test_the_fuzzer_sees_what_it_looks_for(status: int, content: Any) -> None:
    assert mutants.wrong(mutants.Asked(), status, json.dumps(content).encode())


def test_a_mutant_depends_on_its_number_alone() -> None:
    first, again = (list(mutants.mutants(30, 1)) for _ in range(2))
    assert first == again
    assert list(mutants.mutants(30, 2)) != first


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_requests_made_of_its_own_description_are_answered_or_refused(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    found = asyncio.run(described.answers(tmp_path, 1000, 1))
    assert not found.wrong
    assert found.operations["POST /v1/predict"] >= 250
    assert found.statuses[200] > 50
    assert found.statuses[422] > 100
    assert len(found.operations) >= 6


def test_an_answer_with_another_schema_than_described_is_seen() -> None:
    pytest.importorskip("jsonschema_rs", reason="schemathesis is not installed")
    answer = {"type": "object", "properties": {"n": {"$ref": "#/components/schemas/n"}}, "required": ["n"]}
    responses = {"200": {"content": {"application/json": {"schema": answer}}}}
    document = {
        "paths": {"/a": {"get": {"responses": responses}}},
        "components": {"schemas": {"n": {"type": "number"}}},
    }
    check = described.Conformance(document)
    assert check.wrong("/a", "GET", 200, "application/json", b'{"n": 1}') == ""
    assert "schema" in check.wrong("/a", "GET", 200, "application/json", b'{"n": "1"}')
    assert check.wrong("/a", "GET", 404, "application/json", b"{}") == ""
