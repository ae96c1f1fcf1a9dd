"""What keeps a secret out of sight: its spellings in a text, and the frames of an error that hold it."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# Secrets shorter than this would take ordinary words out of a text.
_SHORTEST = 4
# Characters of a text that are looked at.
_LOOKED_AT = 1 << 20


class Body(bytes):
    """The body of a reply: what it says is nobody's who prints the variables of a traceback."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def hide(text: str, secrets: Iterable[str]) -> str:
    """Take secrets out of a text, however whoever wrote it has escaped them."""
    spelled = {spelling for secret in secrets if len(secret) >= _SHORTEST for spelling in _spellings(secret)}
    if not spelled:
        return text
    # The longest first: one secret may be the beginning of another.
    pattern = "|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))
    return re.sub(pattern, "***", text[:_LOOKED_AT], flags=re.IGNORECASE)


def _spellings(secret: str) -> set[str]:
    data = secret.encode("utf-8", "surrogatepass")
    escaped = json.dumps(secret)[1:-1]
    return {
        secret,
        quote(data, safe=""),
        quote(data),
        quote_plus(data),
        escaped,
        escaped.replace("/", "\\/"),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        ascii(secret)[1:-1],
        repr(secret)[1:-1],
        secret.replace("'", "\\'"),
        html.escape(secret),
        html.escape(secret, quote=False),
        html.escape(secret).replace("&#x27;", "&#39;"),
        data.hex(),
        *(part for begun in range(3) for part in _base64(data, begun)),
    }


def _base64(data: bytes, begun: int) -> set[str]:
    """Spell what of the data is its own in the Base64 of a longer text, with so many bytes before it."""
    whole = (begun + len(data)) // 3 * 3
    first = 0 if begun == 0 else 4
    core = base64.b64encode((bytes(begun) + data)[:whole])[first:].decode()
    return {core, core.translate({43: "-", 47: "_"})} if len(core) >= _SHORTEST * 2 else set()


def without_frames(error: BaseException, outer: BaseException | None = None) -> None:
    """Drop the tracebacks of an error and of all it came from, as far as the ``outer`` one."""
    seen = {id(None), id(outer)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]


def forgetting(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let no error of a function keep its arguments: a traceback may be shown with its variables."""

    @functools.wraps(function)
    def forget(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            del args, kwargs
            without_frames(error)
            raise

    return forget
