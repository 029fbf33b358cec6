"""The gate that every request passes: host, origin, key, rate, size and time; and what every answer carries."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from automl.serving.inputs.answers import encoded
from automl.serving.problem import Refused, unexpected
from automl.serving.security.audit import Audit
from automl.serving.security.keys import LOCAL, Identity, Keys
from automl.serving.security.policy import HEADERS, PAGE_POLICY, POLICY, host_name, same_origin
from automl.serving.settings import Settings
from automl.serving.traffic.rates import Rates

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("automl.serving")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
OPEN = frozenset({"/health/live", "/health/ready"})
"""What is answered without a key."""


@dataclass
class Visit:
    """One request on its way.

    Attributes:
        scope: of ASGI.
        id: of the request; the client's own `X-Request-ID` where it is a plain word.
        started: seconds of a clock.
        identity: whose key it is.
        body: once it was read.
        model, version: which one answered.
        rows: how many were predicted.
        status, code: of the answer.
    """

    scope: Scope
    id: str
    started: float
    identity: Identity = LOCAL
    body: bytes = b""
    model: str = ""
    version: str = ""
    rows: int = 0
    status: int = 0
    code: str = ""
    headers: dict[bytes, bytes] = field(default_factory=dict)

    def header(self, name: bytes) -> str:
        """A header of the request, "" where it is not there."""
        return self.headers.get(name, b"").decode("latin-1")


@dataclass
class Answer:
    """What goes back: status, content type and content."""

    status: int
    content: bytes
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Visit], Awaitable[Answer]]


class Gate:
    """The application that the HTTP server calls.

    Args:
        settings: see there.
        handlers: what is answered here, by (method, path), each with the scope that a key needs.
        inner: the ASGI application for everything else; requests reach it with `scope["visit"]`.
        finished: called once for each request.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Mapping[tuple[str, str], tuple[str, Handler]],
        inner: Callable[[Scope, Receive, Send], Awaitable[None]],
        finished: Callable[[Visit, float], None],
    ) -> None:
        self.settings, self.handlers, self.inner, self.finished = settings, handlers, inner, finished
        self.paths = {path for _, path in handlers}
        self.keys = Keys(settings.folder / "keys.json")
        self.rates = Rates(settings.rate / settings.workers)
        self.audit = Audit(settings.folder / "audit", bodies=settings.audit_bodies) if settings.audit else None
        self.draining = False
        self.active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            self.active += 1
            try:
                await self._http(scope, receive, send)
            finally:
                self.active -= 1

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        visit = Visit(scope, request_id, time.perf_counter(), headers=headers)
        scope["visit"] = visit
        try:
            self._admit(visit)
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            handler = self.handlers.get((method, scope["path"]))
            if handler is None and scope["path"] in self.paths:
                raise Refused(405, "wrong_method", f"{scope['path']} has no {scope['method'][:20]}", "method")
            if handler is None:
                await self._inner(visit, receive, send)
            else:
                visit.identity.need(handler[0])
                if method == "POST":
                    visit.body = await self._body(visit, receive)
                await self._respond(visit, await handler[1](visit), send)
        except Refused as problem:
            await self._refuse(visit, problem, send)
        except Exception:
            log.exception("request %s failed", request_id)
            await self._refuse(visit, unexpected(request_id), send)
        finally:
            self._leave(visit)

    def _admit(self, visit: Visit) -> None:
        """Host, origin, key and rate."""
        allowed, host = self.settings.allowed_hosts, visit.header(b"host")
        if allowed and host_name(host) not in allowed:
            raise Refused(421, "wrong_host", "this server does not answer for that host name", "host")
        if b"origin" in visit.headers and not same_origin(visit.header(b"origin"), host):
            raise Refused(403, "foreign_origin", "pages of other origins may not ask", "origin")
        if visit.scope["path"] in OPEN:
            return
        client = visit.scope.get("client") or ("unknown", 0)
        if self.settings.keys:
            try:
                visit.identity = self.keys.identify(visit.header(b"authorization") or None)
            except Refused:
                self.rates.take(f"address {client[0]}")
                raise
        self.rates.take(visit.identity.id if self.settings.keys else f"address {client[0]}")

    async def _body(self, visit: Visit, receive: Receive) -> bytes:
        """The whole body, no larger than allowed and there in time."""
        most = self.settings.max_bytes
        length = visit.headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            raise Refused(413, "body_too_large", f"a body has at most {most} bytes", "body")
        message = await self._message(receive)
        body = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                message = await self._message(receive)
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise Refused(413, "body_too_large", f"a body has at most {most} bytes", "body")
            body = b"".join(parts)
        if len(body) > most:
            raise Refused(413, "body_too_large", f"a body has at most {most} bytes", "body")
        return bytes(body)

    async def _message(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                message = await receive()
        except TimeoutError:
            raise Refused(408, "too_slow", f"the body was not there after {self.settings.timeout_s:g} s") from None
        if message["type"] == "http.disconnect":
            raise Refused(400, "client_gone", "the client closed the connection")
        return message

    async def _inner(self, visit: Visit, receive: Receive, send: Send) -> None:
        """The rest of the application; its body is read here, its answers get the headers of all answers."""
        body = await self._body(visit, receive) if visit.scope["method"] not in ("GET", "HEAD") else b""
        visit.body = body
        given = False

        async def receive_body() -> Message:
            nonlocal given
            if given:
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                kind = dict(message["headers"]).get(b"content-type", b"")
                message = {**message, "headers": [*message["headers"], *self._headers(visit, kind)]}
            await send(message)

        await self.inner(visit.scope, receive_body, send_dressed)

    def _headers(self, visit: Visit, kind: bytes) -> list[tuple[bytes, bytes]]:
        policy = PAGE_POLICY if kind.startswith(b"text/html") else POLICY
        extra = [(b"x-request-id", visit.id.encode()), (b"content-security-policy", policy.encode())]
        if self.draining:
            extra.append((b"connection", b"close"))
        if visit.scope["scheme"] == "https":
            extra.append((b"strict-transport-security", b"max-age=31536000"))
        return HEADERS + extra

    async def _respond(self, visit: Visit, answer: Answer, send: Send) -> None:
        visit.status = answer.status
        kind = answer.kind.encode()
        headers = [(b"content-type", kind), (b"content-length", str(len(answer.content)).encode())]
        headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
        headers += self._headers(visit, kind)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if visit.scope["method"] == "HEAD" else answer.content
        await send({"type": "http.response.body", "body": body})

    async def _refuse(self, visit: Visit, problem: Refused, send: Send) -> None:
        if visit.status:  # it has begun to answer
            return
        visit.code = problem.code
        headers = dict(problem.headers())
        if problem.status == 401 and visit.scope["path"] in ("/", "/docs"):
            headers["www-authenticate"] = 'Basic realm="automl: the key is the password"'  # browsers ask for it
        if problem.status in (408, 413):
            headers["connection"] = "close"  # the rest of the body is not read
        await self._respond(visit, Answer(problem.status, encoded(problem.body()), headers=headers), send)

    def _leave(self, visit: Visit) -> None:
        seconds = time.perf_counter() - visit.started
        self.finished(visit, seconds)
        if self.audit is not None and visit.scope["path"] not in OPEN:
            client = visit.scope.get("client") or ("", 0)
            entry = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "key": visit.identity.id,
                "client": client[0], "method": visit.scope["method"], "path": visit.scope["path"],
                "model": visit.model, "version": visit.version, "rows": visit.rows, "status": visit.status,
                "code": visit.code, "request_id": visit.id, "ms": round(1000 * seconds, 3),
            }  # fmt: skip
            self.audit.add(entry, visit.body)
