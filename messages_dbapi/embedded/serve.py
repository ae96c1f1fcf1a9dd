"""The command that serves a store: its address, its key, and its end."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ..errors import InterfaceError
from .app import Application
from .server import Server
from .store import Store

__all__ = ["Server", "run"]


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    store: str | None = None,
    api_key: str | None = None,
    api_key_file: str | None = None,
) -> int:
    """Serve until SIGTERM or Ctrl-C, print the base URL first, and give the exit status.

    ``store`` None is in memory. Raises InterfaceError for a host, key or file that cannot be used.
    """
    key = _key(host, api_key, api_key_file)
    with (
        _signals() as ended,
        Store(store) as kept,
        Server(Application(kept, key), host, port, local_names=key is None) as server,
    ):
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        # Waking now and then lets Ctrl-C through on Windows.
        while not ended.wait(1):
            continue
    return 0


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """Set an event on SIGTERM or Ctrl-C; a second one, while requests are finished, acts as usual."""
    ended = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end(number: int, frame: object) -> None:
        ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _key(host: str, api_key: str | None, api_key_file: str | None) -> str | None:
    key = _read(api_key_file) if api_key is None and api_key_file is not None else api_key
    if key is None and not _is_loopback(host):
        key = os.environ.get("OPENAI_API_KEY")
    if key is None and not _is_loopback(host):
        raise InterfaceError(
            f"other machines can reach {host}, so serving there needs a key: set OPENAI_API_KEY, "
            "or pass --api-key-file FILE; or serve on 127.0.0.1"
        )
    if key is not None and (not key.isascii() or not key.isprintable() or key != key.strip() or not key):
        raise InterfaceError("the API key must be printable ASCII characters without blanks around them")
    return key


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise InterfaceError(f"cannot read the API key from {path}: {type(error).__name__}") from error


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        raise InterfaceError(f"cannot serve on {host}: {error}") from error
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)
