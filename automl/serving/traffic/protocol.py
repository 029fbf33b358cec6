"""HTTP as uvicorn speaks it, with limits for what comes before a body: size and time of the head of a request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from automl.serving.inputs.answers import encoded
from automl.serving.problem import Refused

MOST_HEAD = 64 * 2**10
"""Bytes of the first line and the headers of a request."""
HEAD_S = 30.0
"""Seconds until the head of a request must be there, from the beginning of the connection or the head."""


class Guarded(HttpToolsProtocol):
    """Ends connections whose heads are too large or too slow, and refuses what is no HTTP in our own shape."""

    head_s = HEAD_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: int | None = None  # bytes of the head so far; None: no head is being read
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the head, and refuse one that is too large."""
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head + len(data) > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"the head of a request has at most {MOST_HEAD} bytes")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head = 0
        self._wait()

    def on_headers_complete(self) -> None:
        """A head has ended; what follows is the body, which the gate limits."""
        self._head = None
        self._rest()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._rest()
        self._timer = self.loop.call_later(self.head_s, self._late)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, and close the connection."""
        content = encoded(Refused(400, "invalid_http", msg).body())
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + content)
        self.transport.close()
