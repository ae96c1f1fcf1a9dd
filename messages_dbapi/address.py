"""The URL forms of a connection, taken apart: where it goes, the key in it, and its options as text.

No text raised here shows any part of a URL before the host has been told from the key: a key with an
unescaped ``/`` would stand where the host is expected.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote, unquote_plus

from .errors import InterfaceError

HTTPScheme = Literal["http", "https"]

EXAMPLES = """\
  messages:///store.db                          embedded: a store kept in that file
  messages://:KEY@host/v1                       a remote service, over https
  messages+http://127.0.0.1:8080/v1             a service on this machine, over plain http"""

_SCHEMES: dict[str, HTTPScheme] = {"messages": "https", "messages+http": "http"}
_HTTP_SCHEMES: dict[str, HTTPScheme] = {"https": "https", "http": "http"}
_DEFAULT_PORTS: dict[HTTPScheme, int] = {"http": 80, "https": 443}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Only ASCII, so that no library can read another name out of it (IDNA, full-width dots, escapes).
_HOST = re.compile(r"(?=.{1,254}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
# A folder of Windows is not meant: C:/x@y.
_KEY_IN_FILE = re.compile(r"/+(?![A-Za-z]:[/\\])[^/@]*:[^@]*@")
_STORE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True)
class Origin:
    """The place that a request goes to: a lower-case ASCII host, IPv6 without brackets, and the port."""

    scheme: HTTPScheme
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Tell whether it is this machine by its very name: localhost, 127.0.0.0/8 or ::1.

        Other spellings that a resolver may lead here (``127.1``, ``localhost.``) do not count.
        """
        if self.host == "localhost":
            return True
        try:
            number = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        # An IPv4 address inside IPv6 is loopback for some versions of Python only; here it never is.
        return number == ipaddress.IPv6Address("::1") or (number.version == 4 and number.is_loopback)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


@dataclass(frozen=True)
class Address:
    """A URL taken apart: remote with an ``origin``, embedded without.

    ``path`` is the base path of a remote service, percent-encoded and without a slash at its end, or
    the file of an embedded store as it was written (empty: in memory). ``query`` are the options.
    """

    origin: Origin | None
    path: str
    key: str | None = field(default=None, repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def base_url(self) -> str | None:
        """Give the URL that requests start with, or None for an embedded store."""
        return None if self.origin is None else f"{self.origin}{self.path}"


def parse_url(text: str) -> Address:
    """Take a ``messages://`` or ``messages+http://`` URL apart, or raise InterfaceError."""
    scheme, authority, path, query = _split(text, _SCHEMES, _WRONG_SCHEME)
    options = _read_query(query)
    if authority:
        key, place = _read_userinfo(authority)
        return Address(_read_origin(scheme, place, path), _read_path(path), key, options)
    if scheme == "http":
        raise InterfaceError("messages+http:// needs a host, as in messages+http://127.0.0.1:8080/v1")
    return Address(None, _read_file(path), None, options)


def parse_base_url(text: str) -> Address:
    """Take an ``http://`` or ``https://`` URL apart as the address of a service, or raise InterfaceError."""
    scheme, authority, path, query = _split(text, _HTTP_SCHEMES, _WRONG_BASE)
    if "@" in authority:
        raise InterfaceError("a base URL holds no key and no user name: pass the key as api_key=")
    if query is not None:
        raise InterfaceError("a base URL has no query: pass query={'api-version': 'v1'} and the like")
    return Address(_read_origin(scheme, authority, path), _read_path(path))


_WRONG_SCHEME = (
    "this is not a URL of this driver. It begins with messages:// (https, or an embedded store) or "
    f"messages+http:// (plain http); a service's own http URL is passed as base_url=. Write one of\n{EXAMPLES}"
)
_WRONG_BASE = (
    "a base URL begins with https:// or http://, as in https://api.openai.com/v1; "
    "a messages:// URL is the first argument of connect()"
)


def _split(text: str, schemes: dict[str, HTTPScheme], wrong: str) -> tuple[HTTPScheme, str, str, str | None]:
    text = text.strip()
    match = _SCHEME.match(text)
    if match is None or match[1].lower() not in schemes:
        raise InterfaceError(wrong)
    rest, mark, query = text[match.end() :].partition("?")
    authority, slash, path = rest.partition("/")
    authority, sharp, _ = authority.partition("#")
    # SQLAlchemy would read a key here, RFC 3986 a path: neither may guess.
    if (authority or sharp) and "@" in rest[len(authority) :] + query:
        raise InterfaceError(
            "an '@' stands in the URL after its host. Write %40 for it there; "
            "in a key write '/' as %2F, '?' as %3F, '#' as %23 and '@' as %40"
        )
    if sharp or "#" in path:
        raise InterfaceError("a URL of this driver has no fragment: write %23 where a '#' is meant")
    return schemes[match[1].lower()], authority, slash + path, query if mark else None


def _read_userinfo(authority: str) -> tuple[str | None, str]:
    userinfo, _, place = authority.rpartition("@")
    user, colon, key = userinfo.partition(":")
    if user:
        raise InterfaceError("the URL has a user name, which means nothing here: the key stands after a colon, //:KEY@")
    if not place:
        raise InterfaceError("the URL has a key but no host: write messages://:KEY@host/v1")
    if not colon:
        return None, place
    return _unquote(key, "the key in the URL"), place


def _read_origin(scheme: HTTPScheme, place: str, path: str) -> Origin:
    match = _AUTHORITY.fullmatch(place)
    host = None if match is None else _read_host(match["host"])
    port = _DEFAULT_PORTS[scheme] if match is None or match["port"] is None else int(match["port"])
    if host is None or not 0 < port < 65536:
        raise InterfaceError(
            "between '//' and the next '/' the URL has no host[:port] (ASCII letters, digits, '-', '.', '_', or an "
            "IPv6 address in brackets; other alphabets in their xn-- form; a port from 1 to 65535; a key's '/' as %2F)."
            f" A file takes three slashes. Write one of\n{EXAMPLES}"
        )
    if host.endswith(_STORE_SUFFIXES) and path in ("", "/"):
        raise InterfaceError(
            f"'{host}' stands where a host is expected; a file takes three slashes: messages:///{host}"
        )
    return Origin(scheme, host, port)


def _read_host(text: str) -> str | None:
    if text.startswith("["):
        return _read_ipv6(text[1:-1])
    return text.lower() if _HOST.fullmatch(text) else None


def _read_ipv6(text: str) -> str | None:
    try:
        number = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    # A zone (%eth0) is a name of this machine's own that the HTTP libraries spell differently.
    return None if number.scope_id else number.compressed


def _read_path(text: str) -> str:
    try:
        return quote(text, safe="/%:!$&'()*+,;=~").rstrip("/")
    except UnicodeEncodeError as error:
        raise InterfaceError(f"the path of the URL cannot be encoded: {error.reason}") from error


def _read_file(path: str) -> str:
    if _KEY_IN_FILE.match(path):
        raise InterfaceError(
            "three slashes begin a file, and this looks like a key and a host: write messages://:KEY@host/v1 "
            "(in the name of a file, '@' as %40)"
        )
    file = _unquote(path[1:], "the file name in the URL")
    return "" if file == ":memory:" else file


def _read_query(text: str | None) -> tuple[tuple[str, str], ...]:
    # As in a form, which is how SQLAlchemy writes and reads it: '+' is a blank.
    pieces = [piece.partition("=") for piece in (text or "").split("&") if piece]
    for name, _, value in pieces:
        if "#" in name or ("#" in value and name != "threads"):
            raise InterfaceError("a URL of this driver has no fragment: write %23 where a '#' is meant")
    return tuple((_unquote_form(name), _unquote_form(value)) for name, _, value in pieces)


def _unquote(text: str, what: str) -> str:
    with suppress(UnicodeDecodeError):
        return unquote(text, errors="strict")
    # Out here it has no context, which would hold the bytes of what may be a key.
    raise InterfaceError(f"{what} has %-escapes that are not UTF-8")


def _unquote_form(text: str) -> str:
    with suppress(UnicodeDecodeError):
        return unquote_plus(text, errors="strict")
    raise InterfaceError("the options of the URL have %-escapes that are not UTF-8")
