"""Why a request is not answered: one status, one code for programs, one sentence for people."""

from collections.abc import Mapping
from typing import Any

LONGEST = 500
"""Characters of a message; it may quote what the client has sent."""


class Refused(Exception):
    """A request that is refused.

    Attributes:
        status: of HTTP, 4xx, or 503 where the server is too busy.
        code: a word for programs, such as `unknown_column`.
        message: a sentence with the value and the rule.
        where: the place, such as `rows[3].age`; None where there is none.
        retry_after_s: when it is worth asking again, for 429 and 503.
    """

    def __init__(
        self, status: int, code: str, message: str, where: str | None = None, retry_after_s: float | None = None
    ) -> None:
        message = message if len(message) <= LONGEST else f"{message[: LONGEST - 3]}..."
        super().__init__(message)
        self.status, self.code, self.message, self.where = status, code, message, where and where[:200]
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """The answer's content, the same for every refusal."""
        return {"error": {"code": self.code, "message": self.message, "where": self.where}}

    def headers(self) -> Mapping[str, str]:
        """What goes beside the usual headers."""
        if self.retry_after_s is None:
            return {"www-authenticate": "Bearer"} if self.status == 401 else {}
        return {"retry-after": str(max(1, round(self.retry_after_s)))}


def unexpected(request_id: str) -> Refused:
    """The answer where the server itself failed; what happened stands in its log, never in the answer."""
    return Refused(500, "server_fault", f"the server failed; its log says why under request id {request_id}")
