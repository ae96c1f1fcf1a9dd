"""How the value of an option is read, from the text of a URL or from Python.

Each reader takes either, and raises ValueError with a text that completes "expected ...".
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from .address import Address, parse_base_url
from .credentials import Key, check_key
from .resources import MESSAGES, SCHEMA, SHORT_SCHEMA
from .scope import absolute_path, problem_of_id
from .statement import Progress

Reader = Callable[[object], Any]
Pairs = tuple[tuple[str, str], ...]


def whole_number(least: int, most: int | None = None) -> Reader:
    """Read a whole number between two bounds, both included."""
    expected = f"a whole number from {least} to {most}" if most else f"a whole number, {least} or more"

    def read(value: object) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else value
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise ValueError(expected)
        number = operator.index(number)
        if number < least or (most is not None and number > most):
            raise ValueError(expected)
        return number

    return read


def seconds(most: int) -> Reader:
    """Read a number of seconds over 0; sockets and locks refuse numbers without bound."""
    return amount("seconds", most)


def amount(unit: str, most: int) -> Reader:
    """Read a number over 0."""
    expected = f"a number of {unit}, over 0 and up to {most}"

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(expected)
        try:
            number = float(value)
        except (ValueError, OverflowError) as error:
            raise ValueError(expected) from error
        if not math.isfinite(number) or not 0 < number <= most:
            raise ValueError(expected)
        return number

    return read


def or_none(read: Reader) -> Reader:
    """Read ``none``, in any letter case, as None and leave everything else to another reader."""

    def read_or_none(value: object) -> Any:
        if isinstance(value, str) and value.lower() == "none":
            return None
        try:
            return read(value)
        except ValueError as error:
            raise ValueError(f"{error}, or none") from error

    return read_or_none


def choice(*names: str) -> Reader:
    """Read one of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(" or ".join(names))
        return value

    return read


_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def switch(value: object) -> bool:
    """Read a yes or a no."""
    known = _SWITCH.get(str(value).lower()) if isinstance(value, str | int) else None
    if known is None:
        raise ValueError("0 or 1 (or false or true, no or yes, off or on)")
    return known


def path_text(value: object) -> str:
    """Read a path as it is written."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError("the path of a file")
    return text


def file(value: object) -> str:
    """Read a path as the full path of a file that need not exist."""
    path = absolute_path(path_text(value))
    if os.path.isdir(path):
        raise ValueError(f"a file, and {path} is a folder")
    return path


def file_or_memory(value: object) -> str | None:
    """Read a path, or SQLite's ``:memory:`` as None."""
    return None if value == ":memory:" else file(value)


def thread_ids(value: object) -> tuple[str, ...]:
    """Read one id or an iterable of them, each kept once.

    None at all is refused: a computed list that came out empty would otherwise mean every thread.
    """
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError("the id of a thread, or several in any iterable")
    ids = (value,) if isinstance(value, str) else tuple(value)
    problem = next(filter(None, map(problem_of_id, ids)), None)
    if problem or not ids:
        raise ValueError(f"ids of threads, and {problem or 'there is none: leave the option out'}")
    return tuple(dict.fromkeys(ids))


def pairs(read_pair: Callable[[str, object], tuple[str, str]], fold: Callable[[str], str]) -> Reader:
    """Read a mapping; ``fold`` makes names equal that mean the same."""

    def read(value: object) -> Pairs:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise ValueError("a dictionary of names and texts")
        folded = [fold(name) for name in value]
        twice = next((name for name in folded if folded.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"each name once, and {twice!r} is there twice")
        return tuple(read_pair(name, text) for name, text in value.items())

    return read


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2, "token"
_HEADER_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?")  # section 5.5
# They say where a message ends: another value would let one request pass for two.
_FRAMING = frozenset(
    {"connection", "content-encoding", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)


def header(name: str, value: object) -> tuple[str, str]:
    """Read a header of every request."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"names of HTTP headers, and {name!r} is none")
    if name.lower() in _FRAMING:
        raise ValueError(f"headers that the driver does not write itself, and {name} is one")
    if not isinstance(value, str) or not is_header_value(value):
        raise ValueError(f"Latin-1 text without line breaks and outer blanks, and that of {name} is not")
    return name, value


def is_header_value(text: str) -> bool:
    """Tell whether a text can be sent as the value of a header."""
    return _HEADER_VALUE.fullmatch(text) is not None


_LIST_PARAMETERS = frozenset(
    {*(hidden.name for hidden in MESSAGES.hidden if hidden.purpose == "list"), *MESSAGES.filters}
)


def parameter(name: str, value: object) -> tuple[str, str]:
    """Read a query parameter of every request."""
    if not name or name in _LIST_PARAMETERS:
        raise ValueError(f"parameters that the driver does not send itself, and {name!r} is none")
    if not isinstance(value, str) or not (name + value).isprintable():
        raise ValueError(f"printable text, and that of {name!r} is not")
    return name, value


_SCHEMA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN_SCHEMAS = ("main", "temp", SHORT_SCHEMA, SCHEMA.partition(".")[0])


def attached(name: str, value: object) -> tuple[str, str]:
    """Read a schema name and the file under it."""
    if not _SCHEMA_NAME.fullmatch(name) or name.lower() in _TAKEN_SCHEMAS:
        taken = ", ".join(_TAKEN_SCHEMAS)
        raise ValueError(f"names of letters, digits and '_' other than {taken}, and {name!r} is none")
    return name, file(value)


def api_key(value: object) -> Key:
    """Read a key or what gives one; a key that is refused is not shown."""
    if isinstance(value, str):
        return check_key(value, "api_key")
    if not callable(value):
        raise ValueError("a text, or a function that returns one")
    return cast("Callable[[], str]", value)


def progress(value: object) -> Progress:
    """Read a function that is told how far a statement is."""
    if not callable(value):
        raise ValueError("a function of the requests done, the rows so far, and the requests expected or None")
    return cast("Progress", value)


def base_url(value: object) -> Address:
    """Read the http URL of a service."""
    if not isinstance(value, str):
        raise ValueError("a text such as https://api.openai.com/v1")
    return parse_base_url(value)
