"""Around every request: the audit line, the headers, and an answer that tells nothing when something breaks."""

import asyncio
import logging
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vireid.app.audit import Audit, notes_of
from vireid.app.refusal import Refused
from vireid.errors import InputError

LOG = logging.getLogger("vireid.app")
PREFIX = "/v1/"
HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
_KNOWN = {404: "there is nothing at this address", 405: "this address does not take that method"}


class _Unlogged(Exception):
    """The audit log could not be written."""


class Guard:
    """The outermost layer of the application; looks after the addresses of the API."""

    def __init__(self, app: ASGIApp, audit: Audit | None) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; what was searched without a line in the log is not answered."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                await self._log(scope, message["status"])
                started = True
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            await self._log(scope, 499)
        except _Unlogged:
            LOG.exception("the audit log cannot be written; nothing is answered")
            await failure(503, "the server cannot answer now; its log says why")(scope, receive, send)
        except Exception:
            LOG.exception("a request failed")
            if not started:
                await failure(500, "the server failed; its log says why")(scope, receive, answer)

    async def _log(self, scope: Scope, status: int) -> None:
        if self._audit is None:
            return
        client = scope.get("client")
        facts = {
            "who": None,
            "address": client[0] if client else None,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": status,
        }
        try:
            await asyncio.to_thread(self._audit.write, facts | notes_of(scope))
        except OSError as error:
            raise _Unlogged from error


def failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to a request that is not served."""
    return JSONResponse({"error": message}, status, headers)


def tell_failures(app: FastAPI) -> None:
    """Answer errors by one sentence each."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return failure(error.status, error.message, error.headers)

    @app.exception_handler(HTTPException)
    async def known(_: Request, error: HTTPException) -> JSONResponse:
        return failure(error.status_code, _KNOWN.get(error.status_code, "the request is malformed"), error.headers)

    @app.exception_handler(InputError)
    async def wrong(_: Request, error: InputError) -> JSONResponse:
        """What a client sent was looked at before: the rest is about the gallery, and names places on the server."""
        LOG.error("a request failed: %s", error)
        return failure(503, "the gallery cannot be used now; the server's log says why", {"Retry-After": "5"})
