"""Requests that schemathesis makes of a server's own OpenAPI description: some that it allows, some that it forbids.

python -m automl.testing.stress.service.described 10000 [seed]   ends with exit code 1 at the first wrong answer

Beside what `mutants` looks for, an answer of JSON has the schema that the description gives for its status.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
import urllib.parse
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import EnvironmentProblem
from automl.testing.stress.service.mutants import Asked, ask, grown_mib, memory_kib, service, wrong

TOGETHER = 50
"""So many requests are made of an operation before the next one has its turn."""
OFTEN = ("/v1/predict", "/v1/feedback")
"""These have three turns for one of the others."""


@dataclass(frozen=True)
class Found:
    """What came of it.

    Attributes:
        wrong: the first wrong answer; empty where there was none.
        statuses: how often each status was answered.
        operations: how many requests each operation got.
        memory: of the process, KiB, after each tenth of the requests.
    """

    wrong: str
    statuses: Counter[int]
    operations: Counter[str]
    memory: list[int]


def load() -> Any:
    """The module `schemathesis`.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import schemathesis
    except ImportError as error:
        raise EnvironmentProblem(f"these requests need schemathesis ({error}): pip install schemathesis") from error
    return schemathesis


def turns(schemathesis: Any, document: dict[str, Any]) -> list[tuple[Any, Any]]:
    """(operation, strategy of its requests), for allowed and for forbidden requests."""
    found = []
    for operation in (result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()):
        for mode in schemathesis.GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)
            found += [(operation, strategy)] * (3 if operation.path in OFTEN else 1)
    return sorted(found, key=lambda turn: turn[0].path not in OFTEN)


def made(strategy: Any, count: int, seed: int) -> list[Any]:
    """Up to `count` requests of a strategy, which depend on the seed alone; none where it has none."""
    import hypothesis
    from hypothesis.errors import Unsatisfiable

    cases: list[Any] = []
    quietly = hypothesis.settings(
        max_examples=count, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip

    @hypothesis.seed(seed)
    @quietly
    @hypothesis.given(strategy)
    def drawn(case: Any) -> None:
        cases.append(case)

    try:
        drawn()
    except Unsatisfiable:
        return []
    return cases


def asked(case: Any) -> Asked:
    """A request of schemathesis as the application gets it."""
    given = case.as_transport_kwargs(base_url="http://localhost")
    address = urllib.parse.urlsplit(given["url"])
    query = urllib.parse.urlencode(given.get("params") or {}, doseq=True, errors="replace").encode()
    body = given.get("data", b"")
    if "json" in given:
        body = json.dumps(given["json"])
    elif isinstance(body, dict):
        body = urllib.parse.urlencode(body, doseq=True, errors="replace")
    content = body if isinstance(body, bytes) else str(body).encode("utf-8", errors="surrogatepass")
    headers = {**{str(name).lower(): str(value) for name, value in given["headers"].items()}, "host": "localhost"}
    packed = [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()
    ]
    return Asked(given["method"], urllib.parse.unquote(address.path, errors="replace"), query, packed, content)


def meeting(request: Asked, number: int) -> Asked:
    """The request with an id, or every second one of answers with the id of a request that has perhaps been there."""
    known = f"described-{number % 20}"
    request.headers.append((b"x-request-id", known.encode()))
    if request.path == "/v1/feedback" and number % 2:
        with contextlib.suppress(ValueError, TypeError):
            request.body = json.dumps({**json.loads(request.body), "request_id": known}).encode()
    return request


class Conformance:
    """Whether answers have the schemas of the description."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._known: dict[tuple[str, str, str], Any] = {}

    def wrong(self, path: str, method: str, status: int, kind: str, body: bytes) -> str:
        """What is wrong with an answer; empty if nothing is, or the description says nothing of it."""
        if kind.partition(";")[0] != "application/json":
            return ""
        key = (path, method.lower(), str(status))
        if key not in self._known:
            self._known[key] = self._validator(*key)
        validator = self._known[key]
        if validator is None or validator.is_valid(content := json.loads(body)):
            return ""
        return (
            f"status {status} with another schema than described: {next(validator.iter_errors(content)).message[:300]}"
        )

    def _validator(self, path: str, method: str, status: str) -> Any:
        import jsonschema_rs

        answers = self.document["paths"][path][method]["responses"]
        schema = answers.get(status, {}).get("content", {}).get("application/json", {}).get("schema")
        if not schema:
            return None
        return jsonschema_rs.validator_for({**schema, "components": self.document["components"]})


async def run(application: Any, count: int, seed: int) -> Found:
    """Ask `count` requests, and check the answers."""
    _, content, _ = await ask(application, Asked("GET", "/openapi.json", headers=[(b"host", b"localhost")]))
    document = json.loads(content)
    conformance = Conformance(document)
    found = Found("", Counter(), Counter(), [])
    for operation, case in _cases(turns(load(), document), seed):
        request = meeting(asked(case), found.statuses.total())
        status, body, headers = await ask(application, request)
        kind = headers.get(b"content-type", b"").decode()
        found.statuses[status] += 1
        found.operations[f"{operation.method.upper()} {operation.path}"] += 1
        reason = wrong(request, status, body) or conformance.wrong(operation.path, operation.method, status, kind, body)
        if reason:
            return Found(f"{reason}\n{request!r}", found.statuses, found.operations, found.memory)
        number = found.statuses.total()
        if number % max(count // 10, 1) == 0:
            found.memory.append(memory_kib())
        if number >= count:
            return found
    return found


def _cases(several: list[tuple[Any, Any]], seed: int) -> Iterator[tuple[Any, Any]]:
    """Requests without end, each operation in its turn; those that have few requests have one turn."""
    turn = 0
    while several:
        for entry in list(several):
            turn += 1
            cases = made(entry[1], TOGETHER, seed * 1_000_003 + turn)
            yield from ((entry[0], case) for case in cases)
            if len(cases) < TOGETHER // 2:
                several.remove(entry)


async def answers(folder: Path, count: int, seed: int) -> Found:
    """What `run` gives for a server of its own in `folder`."""
    served = service(folder)
    async with served.life(served.app):
        return await run(served.gate, count, seed)


def main(count: int, seed: int) -> int:
    """Ask `count` requests of a server in this process. Returns the exit code."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        found = asyncio.run(answers(Path(temporary), count, seed))
    if found.wrong:
        print(found.wrong)
        return 1
    said = ", ".join(f"{status}: {often}" for status, often in sorted(found.statuses.items()))
    print(f"{found.statuses.total()} requests made of the description, seed {seed}: {said}")
    print(f"memory grew by {grown_mib(found.memory):.0f} MiB over the last eight tenths; "
          f"{time.process_time() - started:.0f} s CPU")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
