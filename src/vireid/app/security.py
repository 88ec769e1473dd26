"""Who may ask: bearer tokens, and without them nobody but programs of this machine."""

import hmac
import os
import re
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from vireid.app.audit import note
from vireid.app.refusal import Refused
from vireid.errors import InputError

VARIABLE = "VIREID_TOKEN"
SHORTEST = 20  # characters of a token: fewer could be guessed
MAKE_ONE = (
    "make a token with: python -c \"import secrets; print('me:' + secrets.token_urlsafe(32))\" > tokens.txt "
    f"and give --tokens tokens.txt, or set {VARIABLE}"
)
_BEARER = HTTPBearer(auto_error=False, description="A token of the server's list.")


class Tokens:
    """Tokens and the names of those who hold them; only digests are kept."""

    def __init__(self, named: dict[str, str]) -> None:
        """Of names and their tokens."""
        self._digests = {name: _digest(token) for name, token in named.items()}

    def who(self, token: str) -> str | None:
        """The name of a token's holder, or None; takes the same time whichever token it is nearly."""
        digest, found = _digest(token), None
        for name, known in self._digests.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def read_tokens(file: Path | None) -> Tokens | None:
    """The tokens of a file with lines `name:token`, or of the environment; None if neither tells any.

    Raises:
        InputError: the file cannot be read, or a line is none of these.
    """
    if file is None:
        told = os.environ.get(VARIABLE, "").strip()
        if not told:
            return None
        source, lines = VARIABLE, [told if ":" in told else f"environment:{told}"]
    else:
        source = str(file)
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--tokens {file}: it cannot be read ({getattr(error, 'strerror', 'no text')})") from None
    named: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, token = (part.strip() for part in line.partition(":"))
        if not name or len(token) < SHORTEST or not re.fullmatch(r"[\x21-\x7e]+", token) or name in named:
            raise InputError(
                f"{source}, line {number}: expected name:token, each name once, and at least {SHORTEST} characters in "
                f"a token; {MAKE_ONE}"
            )
        named[name] = token
    if not named:
        raise InputError(f"{source} holds no token; {MAKE_ONE}")
    return Tokens(named)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Door:
    """Lets a request in, or refuses it (401, 403), before anything of its body is read."""

    def __init__(self, tokens: Tokens | None) -> None:
        """Without tokens everyone is let in who asks for this machine by its own name."""
        self._tokens = tokens

    async def __call__(
        self, request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
    ) -> None:
        """A dependency of FastAPI; the name goes into the audit log."""
        if self._tokens is None:
            _require_own_page(request)
            note(request, who="no-auth")
            return
        who = None if given is None else self._tokens.who(given.credentials)
        if who is None:
            told = "the token is not known" if given else "a token is missing"
            raise Refused(
                401, f"{told}; expected the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
            )
        note(request, who=who)


def _require_own_page(request: Request) -> None:
    """Web pages of other sites, which a browser on this machine has open, must not reach a server without tokens.

    Such a page is known by its origin, or, if its name was made to point here, by the name in `Host`.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if not is_loopback(_name(f"//{host}")):
        raise Refused(403, "without tokens this server answers to 127.0.0.1 and localhost only")
    # Browsers say so even where they send no origin, as for a picture that another site shows.
    elsewhere = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if elsewhere or (origin is not None and origin.partition("://")[2] != host):
        raise Refused(403, "without tokens this server answers to its own pages only")


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
