"""`POST /v1/predict`: from the bytes of a request to the bytes of its answer."""

import asyncio
import logging
import urllib.parse
from typing import TYPE_CHECKING, Any

from automl.serving.inputs import answers, bodies
from automl.serving.models.registry import Registry
from automl.serving.models.served import Ready, Served
from automl.serving.problem import Refused
from automl.serving.security.gate import Answer, Visit
from automl.serving.settings import Settings
from automl.serving.traffic.batching import Batcher
from automl.serving.watching.counts import Counts
from automl.serving.watching.feedback import Feedback

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("automl.serving")
LARGE = 64 * 2**10
"""Bodies of more bytes are read and prepared in a thread, so that small requests need not wait for them."""
QUERY = ("model", "version", "proba")
TRUTH = {"true": True, "1": True, "": True, "false": False, "0": False}


class Predictions:
    """Answers requests for predictions."""

    def __init__(
        self, settings: Settings, registry: Registry, batcher: Batcher, counts: Counts, feedback: Feedback
    ) -> None:
        self.settings, self.registry, self.batcher = settings, registry, batcher
        self.counts, self.feedback = counts, feedback
        self._shadows: set[asyncio.Task[None]] = set()

    async def answer(self, visit: Visit) -> Answer:
        """The answer to one request.

        Raises:
            Refused: the request is wrong, or the server too busy.
        """
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await self._answer(visit)
        except TimeoutError:
            raise Refused(
                503,
                "too_slow",
                f"no answer within {self.settings.timeout_s:g} s",
                retry_after_s=self.settings.timeout_s,
            ) from None

    async def _answer(self, visit: Visit) -> Answer:
        asked = _query(visit)
        if len(visit.body) > LARGE:
            served, ready, rows, proba = await asyncio.to_thread(self._prepared, visit, asked)
        else:
            served, ready, rows, proba = self._prepared(visit, asked)
        outputs = await self.batcher.compute(served, ready.inputs)
        answer: dict[str, Any] = {"model": served.name, "version": served.version, "request_id": visit.id}
        answer |= served.answer(outputs, proba=proba)
        if ready.series:
            answer["series"] = ready.series
        answer["warnings"] = ready.warnings
        kept = self.feedback.kept
        kept.add(visit.id, served.name, served.version, served.schema, rows, ready.raw, len(ready))
        self._remember(visit, served, ready, outputs, answer)
        kind = answers.answer_format(visit.header(b"accept"))
        if kind == bodies.JSON:
            content = answers.encoded(answer)
        else:
            content = answers.as_csv(answer) if kind == bodies.CSV else answers.as_arrow(answer)
        extra = {} if kind == bodies.JSON else {"x-model": f"{served.name}@{served.version}"}
        return Answer(200, content, kind, extra)

    def _prepared(self, visit: Visit, asked: dict[str, Any]) -> tuple[Served, Ready, Any, bool]:
        """The model that answers, its rows prepared, the rows as they came, and whether probabilities are wanted."""
        kind = bodies.kind_of(visit.header(b"content-type"))
        settings = self.settings
        if kind == bodies.JSON:
            said = bodies.read_json(visit.body)
            model, version = said.model or asked.get("model"), said.version or asked.get("version")
            served = self._served(visit, model, version)
            rows = bodies.rows_of(said.content, served.schema, settings.max_rows)
            proba = asked.get("proba", False) if said.proba is None else said.proba
        else:
            served = self._served(visit, asked.get("model"), asked.get("version"))
            rows = bodies.read_file(visit.body, kind, served.preparation, served.schema, settings.max_rows)
            proba = asked.get("proba", False)
        ready = served.prepare(rows)
        visit.rows = len(ready)
        return served, ready, rows, proba

    def _served(self, visit: Visit, model: str | None, version: str | None) -> Served:
        served = self.registry.find(model, version, visit.id)
        visit.model, visit.version = served.name, served.version
        return served

    def _remember(self, visit: Visit, served: Served, ready: Ready, outputs: "Tensor", answer: dict[str, Any]) -> None:
        self.counts.of(served).add(ready, outputs)
        self.feedback.predicted(
            visit.id, visit.identity.id, served.name, served.version, served.kind, answer["predictions"]
        )
        shadow = self.registry.shadow_of(served)
        if shadow is not None and self.batcher.rows < self.settings.queue_rows // 2:
            task = asyncio.create_task(self._shadow(shadow, visit.body, visit, answer["predictions"]))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _shadow(self, shadow: Served, body: bytes, visit: Visit, answered: list[Any]) -> None:
        """Let another version compute the same rows; it is counted where it says something else, and never answers."""
        watched = self.counts.of(shadow)
        try:
            kind = bodies.kind_of(visit.header(b"content-type"))
            if kind == bodies.JSON:
                rows = bodies.rows_of(bodies.read_json(body).content, shadow.schema, self.settings.max_rows)
            else:
                rows = bodies.read_file(body, kind, shadow.preparation, shadow.schema, self.settings.max_rows)
            ready = shadow.prepare(rows)
            outputs = await self.batcher.compute(shadow, ready.inputs)
            watched.add(ready, outputs)
            predictions = shadow.answer(outputs, proba=False)["predictions"]
        except Exception as error:  # the client's answer does not depend on it
            log.info("shadow %s %s: %s", shadow.name, shadow.version, error)
            predictions = []
        watched.compared += len(answered)
        watched.disagreed += sum(not _alike(a, b) for a, b in zip(predictions, answered, strict=False))
        watched.disagreed += max(0, len(answered) - len(predictions))


def _alike(first: Any, second: Any) -> bool:
    """Whether two predictions are the same; numbers up to one percent."""
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= 0.01 * max(abs(first), abs(second))
    return bool(first == second)


def _query(visit: Visit) -> dict[str, Any]:
    """The options in the address."""
    text = visit.scope["query_string"].decode("latin-1")
    if not text:
        return {}
    asked: dict[str, Any] = dict(urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=20))
    for key in asked:
        if key not in QUERY:
            raise Refused(422, "unknown_option", f"no option {key[:80]!r}; there are {', '.join(QUERY)}", key[:80])
    if "proba" in asked:
        if asked["proba"].lower() not in TRUTH:
            raise Refused(422, "wrong_type", "proba is true or false", "proba")
        asked["proba"] = TRUTH[asked["proba"].lower()]
    return asked
