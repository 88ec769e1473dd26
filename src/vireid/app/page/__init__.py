"""The search page: a few static files, a client of the REST API like any other.

They hold nothing of the gallery, so they need no token; what they show they ask the API for, with the token that was
typed in. No build step, no library, no request to anywhere else, which the content security policy enforces.
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
SHOWN = (".html", ".css", ".js", ".svg")


def mount_page(app: FastAPI) -> None:
    """Serve the page at `/page/`, where `/` leads."""
    app.mount("/page", _Page(directory=Path(__file__).parent, html=True))

    @app.get("/", include_in_schema=False)
    async def start() -> RedirectResponse:
        return RedirectResponse("/page/")


class _Page(StaticFiles):
    """The files beside this one that browsers read, and no others."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        shown = path if path.endswith(SHOWN) or path in ("", ".") else "nothing.html"
        response = await super().get_response(shown, scope)
        response.headers.update(HEADERS)
        return response
