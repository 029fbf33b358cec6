"""What the live page's server answers: who may ask, and for what."""

import hmac
import importlib.resources
import json
import math
import secrets
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from automl.errors import AutoMLError, EnvironmentProblem, LedgerError, text_of
from automl.serving.problem import Refused
from automl.serving.security.policy import HEADERS, PAGE_POLICY, POLICY, host_name, same_origin
from automl.serving.settings import LOOPBACK
from automl.study.live.requests import MOST_BYTES
from automl.study.reader import StudyView
from automl.view.web.feed import Feed

POLICY_OF_PAGE = f"{PAGE_POLICY}; require-trusted-types-for 'script'"
POLICY_OF_REPORT = f"{POLICY}; style-src 'unsafe-inline'; img-src data:; script-src "
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in ("page", "model", "table", "plots", "trial")},
}
"""What is sent without a token: it holds nothing of any study."""


@dataclass(frozen=True)
class Question:
    """A request, as far as it matters here; names of headers in small letters."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    content: bytes
    kind: str = "application/json"
    policy: str = POLICY

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers but those of the connection."""
        kind = self.kind if self.kind == "application/json" else f"{self.kind}; charset=utf-8"
        found = [("content-type", kind), ("content-security-policy", self.policy)]
        return found + [(name.decode(), value.decode()) for name, value in HEADERS]


class Answers:
    """Answers the requests of pages and programs.

    Every request must come under a name of this machine, and from no page of another origin. Nothing of the study is
    told, and nothing done, without the token in `Authorization: Bearer TOKEN`; a change besides needs the page's own
    origin. The token stands in the fragment of the page's address, which browsers send to nobody.

    Args:
        feed: the study.
        token: a secret; one is made where none is given.
    """

    def __init__(self, feed: Feed, token: str | None = None) -> None:
        self.feed = feed
        self.token = token or secrets.token_urlsafe(32)
        self._report: tuple[str, bytes, str] = ("", b"", "")  # its address, its content, its policy
        self._drawing = threading.Lock()

    def to(self, question: Question) -> Answer:
        """The answer to a request; a refusal is one, too."""
        try:
            return self._answer(question)
        except Refused as problem:
            return _json(problem.body(), problem.status)
        except (EnvironmentProblem, LedgerError) as error:
            return _json(Refused(503, "not_available", text_of(error)).body(), 503)
        except AutoMLError as error:
            return _json(Refused(422, "refused", text_of(error)).body(), 422)

    def _answer(self, question: Question) -> Answer:
        self._admit(question)
        path = question.path
        if question.method == "GET" and path in FILES:
            name, kind = FILES[path]
            content = importlib.resources.files("automl.view.web").joinpath("page", name).read_bytes()
            return Answer(200, content, kind, POLICY_OF_PAGE)
        if question.method == "GET" and path.startswith("/report/"):
            return self._drawn(path)
        given = question.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise Refused(401, "no_valid_token", "open the address that `automl watch --web` has printed", "token")
        if question.method == "POST":
            return self._change(question)
        return self._read(path, {name: values[-1] for name, values in parse_qs(question.query).items()})

    def _admit(self, question: Question) -> None:
        """Host, origin and method."""
        host, origin = question.headers.get("host", ""), question.headers.get("origin")
        if host_name(host) not in LOOPBACK:
            raise Refused(421, "wrong_host", "this server does not answer for that host name", "host")
        foreign = question.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        if foreign or (origin is not None and not same_origin(origin, host)):
            raise Refused(403, "foreign_origin", "pages of other origins may not ask", "origin")
        if question.method == "POST" and origin is None:
            raise Refused(403, "no_origin", "a change needs an Origin header, this server's own", "origin")
        if question.method not in ("GET", "POST"):
            raise Refused(405, "wrong_method", f"no {question.method[:20]} here", "method")

    def _read(self, path: str, query: Mapping[str, str]) -> Answer:
        if path == "/api/state":
            return _json(self.feed.state(query.get("generation", ""), _number(query, "since")))
        if path == "/api/curves":
            names = [name for name in query.get("trials", "").split(",") if name][:1000]
            return _json(self.feed.curves([int(name) for name in names if name.isdecimal() and len(name) < 10]))
        if path == "/api/trial":
            found = self.feed.trial(number := _number(query, "number"))
            if found is None:
                raise Refused(404, "no_such_trial", f"there is no trial {number}", "number")
            return _json(found)
        raise Refused(404, "unknown_path", f"there is no {path[:200]}", "path")

    def _change(self, question: Question) -> Answer:
        if question.path == "/api/report":
            return _json({"path": self._draw()})
        if question.path != "/api/edit":
            raise Refused(404, "unknown_path", f"nothing can be changed at {question.path[:200]}", "path")
        if question.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "no_json", "send JSON, as application/json", "content-type")
        if len(question.body) > MOST_BYTES:
            raise Refused(413, "body_too_large", f"a request has at most {MOST_BYTES} bytes", "body")
        try:
            wanted = json.loads(question.body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "invalid_json", f"this is no JSON ({str(error)[:200]})", "body") from None
        if not isinstance(wanted, dict):
            raise Refused(422, "refused", "a request is a mapping", "body")
        return _json({"ok": True, "done": self.feed.edit(wanted)})

    def _draw(self) -> str:
        """Draw the whole report; returns its address, which cannot be guessed."""
        from automl.view.pages.report import SCRIPT_SOURCE, report

        with self._drawing, closing(StudyView(self.feed.path)) as study:
            content = report(study).encode()
        self._report = (f"/report/{secrets.token_urlsafe(32)}", content, f"{POLICY_OF_REPORT}{SCRIPT_SOURCE}")
        return self._report[0]

    def _drawn(self, path: str) -> Answer:
        address, content, policy = self._report
        if not address or not hmac.compare_digest(path.encode(), address.encode()):
            raise Refused(404, "no_such_report", "there is a newer report, or none; ask for it on the page", "path")
        return Answer(200, content, "text/html", policy)


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not text.isdecimal() or len(text) > 15:
        raise Refused(422, "invalid_value", f"{name} is a whole number, not {text[:50]!r}", name)
    return int(text)


def _json(content: Any, status: int = 200) -> Answer:
    options: dict[str, Any] = {"ensure_ascii": True, "allow_nan": False, "separators": (",", ":")}
    try:
        text = json.dumps(content, **options)
    except ValueError:  # JSON has no infinite numbers
        text = json.dumps(_finite(content), **options)
    return Answer(status, text.encode())


def _finite(value: Any) -> Any:
    """The value with null for numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
