"""Mutated requests: no fault, no traceback, one shape for refusals."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from automl.testing.stress import fuzz_serving


@pytest.mark.filterwarnings("ignore")
def test_mutated_requests_are_answered_or_refused(tmp_path: Path) -> None:
    found, statuses, _ = asyncio.run(fuzz_serving.answers(tmp_path, 500, 3))
    assert not found
    assert len(statuses) > 5
    assert statuses[200] > 50


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
    assert fuzz_serving.wrong(fuzz_serving.Asked(), status, json.dumps(content).encode())


def test_a_mutant_depends_on_its_number_alone() -> None:
    first, again = (list(fuzz_serving.mutants(30, 1)) for _ in range(2))
    assert first == again
    assert list(fuzz_serving.mutants(30, 2)) != first
