"""Checks of JSON values: small ones, and those that make large ones of them.

A check takes the name of a value, as in ``content[0].type``, and the value. It gives the value back
or raises a Refusal that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from . import refusals

Check = Callable[[str, Any], Any]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.", re.DOTALL)


def text(longest: int | None = None) -> Check:
    """Want a string, of at most ``longest`` code points."""

    def check(name: str, value: object) -> str:
        if not isinstance(value, str):
            raise refusals.wrong_type(name, "a string", value)
        if longest is not None and len(value) > longest:
            raise refusals.string_too_long(name, longest, len(value))
        return value

    return check


def integer(least: int, most: int) -> Check:
    """Want an integer from ``least`` to ``most``."""

    def check(name: str, value: object) -> int:
        # JSON Schema's integer may have a fraction of zero.
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(value, int) or isinstance(value, bool):
            raise refusals.wrong_type(name, "an integer", value)
        if not least <= value <= most:
            raise refusals.integer_out_of_range(name, value, least, most)
        return value

    return check


def choice(*supported: str) -> Check:
    """Want one of some strings."""

    def check(name: str, value: object) -> str:
        if not isinstance(value, str):
            raise refusals.wrong_type(name, "a string", value)
        if value not in supported:
            raise refusals.wrong_value(name, value, supported)
        return value

    return check


def uri(name: str, value: object) -> str:
    """Want a string that begins with the scheme of a URI."""
    if not isinstance(value, str):
        raise refusals.wrong_type(name, "a string", value)
    if not _SCHEME.match(value):
        message = f"Invalid '{name}': expected a valid URL, but got {refusals.shown(value)} instead."
        raise refusals.Refusal(400, message, param=name, code="invalid_value")
    return value


def array(item: Check, *, least: int = 0, most: int | None = None) -> Check:
    """Want an array of ``least`` to ``most`` elements that each pass ``item``."""

    def check(name: str, value: object) -> list[Any]:
        if not isinstance(value, list):
            raise refusals.wrong_type(name, "an array", value)
        if len(value) < least:
            raise refusals.array_too_short(name, least, len(value))
        if most is not None and len(value) > most:
            raise refusals.array_too_long(name, most, len(value))
        return [item(f"{name}[{place}]", element) for place, element in enumerate(value)]

    return check


def record(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """Want an object with these fields and no others; the name of a request's body is empty."""

    def check(name: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refusals.wrong_type(name or None, "an object", value)
        path = f"{name}." if name else ""
        for field in required:
            if field not in value:
                raise refusals.missing_parameter(path + field)
        for field in value:
            if field not in fields:
                raise refusals.unknown_parameter(path + field)
        return {field: fields[field](path + field, part) for field, part in value.items()}

    return check


def one_of(*fields: str, check: Check) -> Check:
    """Want an object that passes ``check`` and has exactly one of these fields."""

    def check_one(name: str, value: object) -> Any:
        checked = check(name, value)
        given = [field for field in fields if field in checked]
        if not given:
            raise refusals.missing_parameter(f"{name}.{fields[0]}")
        if len(given) > 1:
            raise refusals.mutually_exclusive(*[f"{name}.{field}" for field in given])
        return checked

    return check_one


def variants(**kinds: Check) -> Check:
    """Want an object whose ``type`` names one of ``kinds``, and that passes the check of that kind."""
    of_kind = choice(*kinds)

    def check(name: str, value: object) -> Any:
        if not isinstance(value, dict):
            raise refusals.wrong_type(name, "an object", value)
        if "type" not in value:
            raise refusals.missing_parameter(f"{name}.type")
        return kinds[of_kind(f"{name}.type", value["type"])](name, value)

    return check


def labels(*, pairs: int, key_length: int, value_length: int) -> Check:
    """Want an object of at most ``pairs`` strings, their names and texts of limited length."""

    def check(name: str, value: object) -> dict[str, str]:
        if not isinstance(value, dict):
            raise refusals.wrong_type(name, "an object", value)
        if len(value) > pairs:
            raise refusals.too_many_properties(name, pairs, len(value))
        for key in value:
            if len(key) > key_length:
                raise refusals.key_too_long(name, key_length, key)
        return {key: of_value(f"{name}.{key}", part) for key, part in value.items()}

    of_value = text(value_length)
    return check


def nullable(check: Check) -> Check:
    """Want what ``check`` wants, or null."""
    return lambda name, value: None if value is None else check(name, value)
