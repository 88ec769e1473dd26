"""What a client is told when a request is not served."""

from collections.abc import Mapping


class Refused(Exception):
    """A request that is not served.

    Attributes:
        status: of HTTP.
        message: one sentence that says what was expected. It never repeats what was sent, nor names a place on the
            server.
        headers: of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
