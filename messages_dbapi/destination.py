"""Where a command goes: its URL, or the environment's, or a store in the user's data folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .credentials import refused_in_url
from .errors import InterfaceError
from .options import Options, resolve

_VARIABLES = ("MESSAGES_URL", "OPENAI_BASE_URL")
_STORE = Path("messages-dbapi", "messages.db")
_KEY_PLACES = (
    "Set OPENAI_API_KEY (sent to this machine and OPENAI_BASE_URL only) or MESSAGES_URL, or use --api-key-file"
)


@dataclass(frozen=True)
class Destination:
    """A URL, which may also be a service's own http URL, and options of ``connect()`` beside it."""

    url: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def is_named(self, environ: Mapping[str, str]) -> bool:
        """Tell whether the user says where to go, here or in the environment."""
        given = self.url is not None or "base_url" in self.options
        return given or any(environ.get(name, "").strip() for name in _VARIABLES)

    def resolve(self) -> Options:
        """Combine all that says where to go, and how; raise InterfaceError for what has no meaning."""
        if self.url is not None and self.url.lower().startswith(("http://", "https://")):
            return resolve(None, {"base_url": self.url, **self.options}, os.environ)
        return resolve(self.url, self.options, os.environ)


def destination(
    url: str | None, options: Iterable[str], thread_ids: Iterable[str], api_key_file: str | None
) -> Destination:
    """Make a destination of what a command line says; ``options`` are ``NAME=VALUE``."""
    arguments: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            # Not what was given, which may be a key.
            raise InterfaceError("-o takes NAME=VALUE, as in -o timeout=10")
        _collect(arguments, name.strip(), value)
    for thread_id in thread_ids:
        _collect(arguments, "thread_id", thread_id)
    if api_key_file is not None:
        arguments["api_key"] = read_text(api_key_file, "the API key").strip()
    return Destination(url, arguments)


def _collect(arguments: dict[str, Any], spelled: str, value: str) -> None:
    name, dot, rest = spelled.partition(".")
    if name == "api_key" or (name in ("headers", "query") and refused_in_url(rest)):
        raise InterfaceError(f"-o {spelled}: other users can see what stands on a command line. {_KEY_PLACES}")
    if name == "thread_id" and not dot:
        arguments.setdefault(name, []).append(value)
    elif dot:
        known = arguments.get(name)
        arguments[name] = {**(known if isinstance(known, dict) else {}), rest: value}
    else:
        arguments[name] = value


def default_store() -> Path:
    """Give the file that is used where nothing says where to go, and make its folder.

    The folder is https://specifications.freedesktop.org/basedir-spec/ on Linux, and what macOS and
    Windows have in its place.
    """
    try:
        path = _data_folder(sys.platform, os.environ) / _STORE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise InterfaceError(
            f"no URL is given, and the data folder for a store cannot be had ({error}): "
            "pass messages:///FILE, or another URL"
        ) from error
    return path


def _data_folder(platform: str, environ: Mapping[str, str]) -> Path:
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    chosen = Path(environ.get("XDG_DATA_HOME", ""))
    # A relative one is to be ignored, says the specification.
    return chosen if chosen.is_absolute() else Path.home() / ".local" / "share"


def url_of_store(path: Path | str) -> str:
    """Write the URL of a store in a file."""
    return f"messages:///{quote(Path(path).as_posix(), safe='/:~')}"


def read_text(path: str, what: str) -> str:
    """Read a file, ``-`` for standard input; raise InterfaceError where it cannot be read as UTF-8."""
    try:
        return _read(path).decode("utf-8-sig")
    except OSError as error:
        raise InterfaceError(f"cannot read {what} from {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InterfaceError(f"cannot read {what} from {path}: byte {error.start} is not UTF-8") from error


def _read(path: str) -> bytes:
    if path != "-":
        return Path(path).read_bytes()
    # Python has none where the process was started without.
    return b"" if sys.stdin is None else sys.stdin.buffer.read()
