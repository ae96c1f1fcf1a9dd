"""Replies as rows: JSON text without what need not be there, and what a reply must hold."""

from __future__ import annotations

import json

import pytest

from messages_dbapi.ahead import Larder
from messages_dbapi.crew import Crew
from messages_dbapi.decode import Page, Reader, reader
from messages_dbapi.errors import InternalError
from messages_dbapi.listing import Listing, Means
from messages_dbapi.paging import Pager
from messages_dbapi.resources import MESSAGES
from messages_dbapi.types import SQLValue


def metadata_of(sent: str) -> SQLValue:
    """Read a message whose metadata was sent as this text."""
    used = reader(MESSAGES, frozenset({"metadata"}))
    row = used.row(f'{{"id": "msg_1", "created_at": 1, "metadata": {sent}}}'.encode(), "thread_1")
    value: SQLValue = row[used.position["metadata"]]
    return value


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("null", None),
        ("{}", "{}"),
        ("[]", "[]"),
        ("{ }", "{}"),
        ("[\n]", "[]"),
        ("true", "true"),
        ('""', '""'),
        ('{ "a" : "b  c" }', '{"a":"b  c"}'),
        (r'{"a":"caf\u00e9"}', '{"a":"café"}'),
        (r'{"a":"\ud83d\ude42"}', '{"a":"🙂"}'),
        (r'{"a":"\/"}', '{"a":"/"}'),
        (r'{"a":"\n\"\\"}', r'{"a":"\n\"\\"}'),
        (r'{"a":"\\u00e9 \\/"}', r'{"a":"\\u00e9 \\/"}'),
        (r'{"a":"\u000a\u0022"}', r'{"a":"\n\""}'),
        (r'{"a":"\ud800"}', r'{"a":"\ud800"}'),
    ],
)
def test_json_is_text_without_blanks_and_needless_escapes(sent: str, read: str | None) -> None:
    assert metadata_of(sent) == read


def test_a_field_that_is_missing_is_null() -> None:
    used = reader(MESSAGES, frozenset({"metadata", "role"}))
    row = used.row(b'{"id": "msg_1", "created_at": 1}', "thread_1")
    assert row[used.position["metadata"]] is None
    assert row[used.position["role"]] is None


@pytest.mark.parametrize("key", [None, ""])
def test_a_message_without_an_id_breaks_the_promise(key: str | None) -> None:
    used = reader(MESSAGES, frozenset())
    body = json.dumps({"data": [{"id": "msg_1", "created_at": 1}, {"id": key, "created_at": 2}], "has_more": False})
    with pytest.raises(InternalError, match="without an id"):
        used.page(body.encode(), "thread_1")


@pytest.mark.parametrize(
    ("times", "descending", "in_order"),
    [
        ([1, 2, 2, 3], False, True),
        ([1, 3, 2], False, False),
        ([3, 2, 2, 1], True, True),
        ([1, 2, 3], True, False),
        ([1, None, 2], False, True),
    ],
)
def test_order_is_relied_on_only_where_it_holds(times: list[int | None], *, descending: bool, in_order: bool) -> None:
    listing = listed(reader(MESSAGES, frozenset()), times, descending=descending)
    assert [row[1] for row in listing.scan()] == times
    if in_order:
        listing.rely_on_order()
        return
    with pytest.raises(InternalError, match="in order of their time"):
        listing.rely_on_order()


def listed(used: Reader, times: list[int | None], *, descending: bool) -> Listing:
    """Give a listing of two messages a page."""
    objects = [{"id": f"msg_{place}", "created_at": time} for place, time in enumerate(times)]

    def fetch(after: str | None, limit: int) -> Page:
        first = 0 if after is None else int(after.removeprefix("msg_")) + 1
        page = {"data": objects[first : first + limit], "has_more": first + limit < len(objects)}
        return used.page(json.dumps(page).encode(), "thread_1")

    def walk(descending: bool) -> Pager:
        return Pager(fetch, lambda key: True, lambda: None, page_size=2, descending=descending)

    return Listing(Means(walk, Crew(1), Larder(), lambda: None), page_size=2, descending=descending)
