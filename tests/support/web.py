"""A study behind the live page's server, and ways to ask it."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl.view.web.answers import Answers
from automl.view.web.feed import Feed
from automl.view.web.server import HOST, Server
from tests.support.patience import PATIENCE_S

TOKEN = "t" * 43


class Client:
    """A program that asks the page's server over HTTP."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = server.server_address[1]
        self.own = f"http://{HOST}:{self.port}"
        self.generation, self.since = "", 0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """(status, content, headers) of an answer; a header that is given as an empty text is left out."""
        given = {"authorization": f"Bearer {TOKEN}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if method == "POST":
            given = {"origin": self.own, "content-type": "application/json", **given}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, content, {k: v for k, v in given.items() if v})
            answer = connection.getresponse()
            found, kind = answer.read(), answer.getheader("content-type", "")
            return answer.status, json.loads(found) if found and "json" in kind else found, dict(answer.getheaders())
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        """What has changed since the last call, with all rows of it."""
        rows: list[dict[str, Any]] = []
        about: dict[str, Any] = {}
        while True:
            status, found, _ = self.ask("GET", f"/api/state?generation={self.generation}&since={self.since}")
            assert status == 200, found
            self.generation, self.since = found["generation"], found["since"]
            rows += found["rows"]
            about |= {"about": found["about"]} if "about" in found else {}
            if not found["more"]:
                return {**found, **about, "rows": rows}

    def edit(self, **wanted: Any) -> Any:
        """What the search says to a request."""
        return self.ask("POST", "/api/edit", wanted)[1]


@contextmanager
def serving(path: Path, **options: Any) -> Iterator[Client]:
    """A client of a server of the study at `path`."""
    feed = Feed(path, "ada", **options)
    with Server(Answers(feed, TOKEN)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Client(server)
        finally:
            server.shutdown()
            thread.join()
