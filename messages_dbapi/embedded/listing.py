"""Listings of the store's tables: pages, cursors, and the deleted rows that still serve as cursors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import apsw

Kind = Literal["thread", "message"]

# SQL values, as the columns of the table say.
Record = tuple[Any, ...]

Position = tuple[int, int]

_BEFORE_ALL: Position = (-(2**63), 0)
_AFTER_ALL: Position = (2**63 - 1, 2**63 - 1)


class NotFoundError(LookupError):
    """Report a thread or message that the store does not have, or has no more."""

    def __init__(self, kind: Kind, row_id: str) -> None:
        super().__init__(kind, row_id)
        self.kind = kind
        self.id = row_id


class CursorError(LookupError):
    """Report an ``after`` or ``before`` (``parameter``) that never stood in that listing."""

    def __init__(self, parameter: str, row_id: str) -> None:
        super().__init__(parameter, row_id)
        self.parameter = parameter
        self.id = row_id


@dataclass(frozen=True)
class Page:
    """Which rows of a listing to give: those after ``after`` and before ``before`` in its order.

    With ``before`` alone, those nearest to it.
    """

    limit: int = 20
    ascending: bool = False
    after: str | None = None
    before: str | None = None
    run_id: str | None = None


class Table(NamedTuple):
    """Where the rows of a listing are kept.

    A listing is over the rows whose scope is the one bound: the seq of their thread, or 0 for all threads.
    """

    kind: Kind
    name: str
    columns: str
    scope: str


THREADS = Table("thread", "threads", "id, created_at, tool_resources, metadata", "0 = ?1")
MESSAGES = Table("message", "messages", "id, body, metadata", "thread = ?1")


def bury(connection: apsw.Connection, table: Table, scope: int, row_id: str) -> None:
    """Delete a row but keep its place in the listing, or raise NotFoundError."""
    connection.execute(
        "INSERT OR REPLACE INTO deleted (id, thread, created_at, place)"
        f" SELECT id, ?1, created_at, place FROM {table.name} WHERE id = ?2 AND {table.scope}",
        (scope, row_id),
    )
    connection.execute(f"DELETE FROM {table.name} WHERE id = ?2 AND {table.scope}", (scope, row_id))
    if not connection.changes():
        raise NotFoundError(table.kind, row_id)


def page_of(connection: apsw.Connection, table: Table, scope: int, page: Page) -> tuple[list[Record], bool]:
    """Read a page of a listing, and tell whether there are more rows than it holds.

    Raises CursorError for an ``after`` or ``before`` that never stood in this listing.
    """
    after = _position(connection, table, scope, "after", page.after)
    before = _position(connection, table, scope, "before", page.before)
    # With `before` alone the rows nearest to it are wanted: walk away from it, then turn round.
    backwards = page.before is not None and page.after is None
    lower, upper = (after, before) if page.ascending else (before, after)
    bounds = (*(lower or _BEFORE_ALL), *(upper or _AFTER_ALL))
    sql = _select(table, upwards=page.ascending != backwards, of_run=page.run_id is not None)
    runs = () if page.run_id is None else (page.run_id,)
    rows = connection.execute(sql, (scope, *bounds, page.limit + 1, *runs)).fetchall()
    has_more = len(rows) > page.limit
    del rows[page.limit :]
    return rows[::-1] if backwards else rows, has_more


def _select(table: Table, *, upwards: bool, of_run: bool) -> str:
    direction = "ASC" if upwards else "DESC"
    return (
        f"SELECT {table.columns} FROM {table.name} WHERE {table.scope} {'AND run_id = ?7' if of_run else ''}"
        " AND (created_at, place) > (?2, ?3) AND (created_at, place) < (?4, ?5)"
        f" ORDER BY created_at {direction}, place {direction} LIMIT ?6"
    )


def _position(
    connection: apsw.Connection, table: Table, scope: int, parameter: str, row_id: str | None
) -> Position | None:
    if row_id is None:
        return None
    found: Position | None = connection.execute(
        f"SELECT created_at, place FROM {table.name} WHERE id = ?2 AND {table.scope}"
        " UNION ALL SELECT created_at, place FROM deleted WHERE id = ?2 AND thread = ?1",
        (scope, row_id),
    ).fetchone()
    if found is None:
        raise CursorError(parameter, row_id)
    return found
