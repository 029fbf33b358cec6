"""The live page's server: the standard library's, on this machine only."""

import socket
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

from automl.errors import EnvironmentProblem
from automl.study.live.requests import MOST_BYTES
from automl.version import __version__
from automl.view.web.answers import Answer, Answers, Question

HOST = "127.0.0.1"
TIMEOUT_S = 30.0
"""Seconds without a request after which a connection is closed."""
LINGER_S = 1.0
"""So long a body that is refused is still read."""


class Handler(BaseHTTPRequestHandler):
    """One connection; what is asked is answered by `answers`."""

    answers: ClassVar[Answers]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"automl/{__version__}", ""
    timeout = TIMEOUT_S

    def _handle(self) -> None:
        length = self.headers.get("content-length", "0")
        fits = (
            length.isdecimal()
            and len(length) < 10
            and int(length) <= MOST_BYTES
            and "transfer-encoding" not in self.headers
        )
        body = self.rfile.read(int(length)) if fits else b"x" * (MOST_BYTES + 1)
        self.close_connection = self.close_connection or not fits
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.answers.to(Question(self.command, parts.path, parts.query, headers, body)))
        if not fits:
            self._linger()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = _handle

    def _linger(self) -> None:
        """Read on for a moment: a client that still sends would lose the answer if the connection were reset."""
        until_s = time.monotonic() + LINGER_S
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_S)
            while time.monotonic() < until_s and self.connection.recv(2**16):
                pass

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


class Server(ThreadingHTTPServer):
    """Serves one study on the loopback address.

    Args:
        answers: what is answered.
        port: where; 0: a free one.

    Raises:
        EnvironmentProblem: the port cannot be used.

    Example:
        server = Server(Answers(Feed(Path("studies/digits"))))
        print(server.address)
        server.serve_forever()
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, answers: Answers, port: int = 0) -> None:
        self.answers = answers
        try:
            super().__init__((HOST, port), type("Handler", (Handler,), {"answers": answers}))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise EnvironmentProblem(f"port {port} cannot be used ({why}); choose another one, or 0") from error

    @property
    def address(self) -> str:
        """The page's address, with the token in its fragment."""
        return f"http://{HOST}:{self.server_address[1]}/#{self.answers.token}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
