"""Serves a gallery until it is stopped: `vireid serve`."""

import logging
import socket
import sys
from pathlib import Path

import uvicorn

from vireid.app.api import create_app
from vireid.app.audit import Audit
from vireid.app.security import MAKE_ONE, is_loopback, read_tokens
from vireid.errors import InputError
from vireid.search.gallery import Gallery


def serve(
    uri: str,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    tokens: Path | None = None,
    no_auth: bool = False,
    audit: Path | None = None,
    device: str = "auto",
) -> None:
    """Serve a gallery; returns when it was stopped.

    Args:
        uri: address of the gallery.
        host: that is listened on.
        port: of it; 0 takes a free one.
        tokens: a file with lines `name:token`; None for the environment.
        no_auth: without tokens, for this machine only.
        audit: file of the audit log; None for `<gallery>.audit.jsonl` beside a gallery that is a folder, and
            `vireid.audit.jsonl` here for others.
        device: `auto` or a torch device.

    Raises:
        InputError: there is no gallery, no token, the port is taken, or the log cannot be written.
    """
    if no_auth and not is_loopback(host):
        raise InputError(f"--no-auth serves this machine only, not {host}; use --host 127.0.0.1, or tokens: {MAKE_ONE}")
    if no_auth and tokens is not None:
        raise InputError("--no-auth and --tokens contradict each other; give one of them")
    known = None if no_auth else read_tokens(tokens)
    if known is None and not no_auth:
        raise InputError(f"nobody could ask without a token; {MAKE_ONE}, or give --no-auth to serve this machine only")
    gallery = Gallery.open(uri, device=device)
    folder = Path(uri)
    beside = folder.with_name(f"{folder.name}.audit.jsonl") if folder.is_dir() else Path("vireid.audit.jsonl")
    with _listening(host, port) as listener:
        _ = gallery.embedder  # a gallery whose model is gone is told now
        log = audit or beside
        app = create_app(gallery, tokens=known, audit=Audit(log))
        _say(gallery, listener, log, private=is_loopback(host))
        logging.basicConfig(format="vireid: %(message)s", level=logging.WARNING)
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each byte of a malformed body
        # A client could name itself as another in the headers that proxies send.
        config = uvicorn.Config(app, log_level="warning", access_log=False, proxy_headers=False, server_header=False)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen on {host} port {port} ({getattr(error, 'strerror', None) or error}); give another --port "
            "or --host"
        ) from None


def _say(gallery: Gallery, listener: socket.socket, log: Path, *, private: bool) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"{gallery.count()} crops at http://{shown}:{port}/; audit log {log}; Ctrl-C stops", file=sys.stderr)
    if not private:
        print(
            "vireid: warning: tokens and crops go over the network as they are; put a TLS proxy before", file=sys.stderr
        )
