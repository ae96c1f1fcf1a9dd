"""What a query string may hold: the parameters of a listing, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import parse_qsl

from ..resources import MESSAGES, PAGE_SIZE
from . import refusals
from .listing import Page
from .refusals import Refusal

_INTEGER = re.compile(r"-?[0-9]{1,100}")


def _limit(value: str) -> dict[str, int]:
    if not _INTEGER.fullmatch(value):
        text = f"Invalid type for 'limit': expected an integer, but got {refusals.shown(value)} instead."
        raise Refusal(400, text, param="limit", code="invalid_type")
    limit = int(value)
    if not 1 <= limit <= PAGE_SIZE:
        raise refusals.integer_out_of_range("limit", limit, 1, PAGE_SIZE)
    return {"limit": limit}


def _order(value: str) -> dict[str, bool]:
    if value not in ("asc", "desc"):
        raise refusals.wrong_value("order", value, ("asc", "desc"))
    return {"ascending": value == "asc"}


# Each gives the field of the page that it chooses.
_PARAMETERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "limit": _limit,
    "order": _order,
    "after": lambda value: {"after": value},
    "before": lambda value: {"before": value},
    "run_id": lambda value: {"run_id": value},
}

_LIST_PARAMETERS = tuple(column.name for column in MESSAGES.hidden if column.purpose == "list")

PARAMETERS: dict[str, Collection[str]] = {
    "list_messages": (*_LIST_PARAMETERS, *MESSAGES.filters),
    "list_threads": _LIST_PARAMETERS,
}


def read_query(method: str, query: str) -> Page:
    """Read the query of a method's request, or raise a Refusal."""
    allowed = PARAMETERS.get(method, ())
    page: dict[str, Any] = {}
    seen: set[str] = set()
    for name, value in _pairs(query):
        if name not in allowed:
            raise refusals.unknown_parameter(name)
        if name in seen:
            raise Refusal(400, f"Repeated parameter: '{name}'.", param=name, code="repeated_parameter")
        seen.add(name)
        page |= _PARAMETERS[name](value)
    return Page(**page)


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Refusal(400, "The query of the URL is not UTF-8.", code="invalid_query") from error
