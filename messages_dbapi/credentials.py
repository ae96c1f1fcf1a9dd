"""What may serve as a key, which names carry one, and where the environment's key may go."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from .address import Origin, parse_base_url
from .errors import InterfaceError

Key = str | Callable[[], str]

# The headers that the key itself is sent in.
KEY_HEADERS = ("authorization", "api-key")

_ENDINGS = (
    "assertion",
    "authcode",
    "authorization",
    "cookie",
    "credential",
    "key",
    "passwd",
    "password",
    "secret",
    "sessid",
    "sessionid",
    "signature",
    "token",
)
_WORDS = frozenset(
    {
        *(*_ENDINGS, "auth", "authentication", "bearer", "code", "jwt", "otp", "pass", "passphrase", "pin", "pwd"),
        *("sas", "session", "sid", "sig", "ticket"),
    }
)
# They lead a request, and the key with it, to another service behind the same address.
_ROUTES = ("host",)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_OPENAI = Origin("https", "api.openai.com", 443)


def refused_in_url(name: str) -> bool:
    """Tell whether a header or query parameter may not come from a URL: it carries a credential or routes."""
    words = {word.lower() for word in _WORD.findall(name)}
    squashed = "".join(_WORD.findall(name)).lower().rstrip("0123456789s")
    return not words.isdisjoint(_WORDS) or squashed.endswith((*_ENDINGS, *_ROUTES))


def secrets_in(value: str) -> set[str]:
    """Give what is secret in a header or query parameter: all of it, and of a scheme, cookies and Basic their parts."""
    words = [word for word in re.split(r"[\s;,]+", value) if word]
    scheme = words[0].lower() if len(words) > 1 else ""
    found = {value, *(words[1:] if scheme.isalpha() else words)}
    found |= {word.partition("=")[2].strip('"') for word in found}
    if scheme == "basic":
        with suppress(ValueError):
            decoded = base64.b64decode(words[1].encode() + b"==").decode("latin-1")
            found |= {decoded, decoded.partition(":")[2]}
    return found


def check_key(key: str, source: str) -> str:
    """Return a key that can stand in a header, or raise InterfaceError that does not show it."""
    if not key:
        raise InterfaceError(f"{source} is empty: leave it out where the service needs no key")
    if any(character.isspace() or not character.isprintable() or character > "\xff" for character in key):
        raise InterfaceError(
            f"{source} has a blank, a line break or another character that no key has "
            "(pass the key alone, without 'Bearer' and quotes)"
        )
    return key


def serves_environment(origin: Origin, environ: Mapping[str, str]) -> bool:
    """Tell whether the environment's key is for a place: OPENAI_BASE_URL's origin, OpenAI's own, or loopback."""
    return origin.loopback or origin == _OPENAI or origin == _environment_origin(environ)


def environment_key(origin: Origin, environ: Mapping[str, str]) -> str | None:
    """Give ``OPENAI_API_KEY`` where it may go to."""
    key = environ.get("OPENAI_API_KEY", "")
    if not key or not serves_environment(origin, environ):
        return None
    return check_key(key, "OPENAI_API_KEY")


def _environment_origin(environ: Mapping[str, str]) -> Origin | None:
    try:
        return parse_base_url(environ.get("OPENAI_BASE_URL", "").partition("?")[0]).origin
    except InterfaceError:
        return None
