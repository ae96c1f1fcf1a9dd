"""The driver on one connection, doing the work of the baselines and counting its requests."""

from __future__ import annotations

from collections.abc import Sequence, Sized

import messages_dbapi
from messages_dbapi.cursor import Cursor

from .baselines import Rows

LISTING = "SELECT * FROM messages WHERE thread_id = ?"
Values = Sequence[str | int]


class Driver:
    """``remember`` says whether it reads a thread the second time from the places that it remembers."""

    def __init__(self, base_url: str, *, remember: bool) -> None:
        url = base_url.replace("http://", "messages+http://", 1)
        self._connection = messages_dbapi.connect(url, remember=remember)
        # As the sessions of the others, its own has asked before.
        self._connection.check()
        self.requests = 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def choose(self, thread_ids: Sequence[str]) -> None:
        """Put thread ids into a local table ``chosen``."""
        cursor = self._connection.cursor()
        cursor.execute("CREATE TABLE chosen (id TEXT)")
        cursor.executemany("INSERT INTO chosen VALUES (?)", [(thread_id,) for thread_id in thread_ids])
        cursor.close()

    def list_all(self, thread_id: str) -> Rows:
        """List a thread into tuples of all columns."""
        return self.select(LISTING, thread_id)

    def select(self, sql: str, *values: str | int) -> Rows:
        """Run a SELECT and fetch all its rows."""
        cursor = self._connection.execute(sql, values)
        rows = cursor.fetchall()
        self._end(cursor)
        return rows

    def change(self, sql: str, *values: str | int) -> Sized:
        """Run an UPDATE or DELETE, and give something as long as what it has changed."""
        cursor = self._connection.execute(sql, values)
        self._end(cursor)
        return range(cursor.rowcount)

    def create(self, thread_id: str, contents: Sequence[str]) -> Sized:
        """Create messages in a thread."""
        cursor = self._connection.cursor()
        rows = [(thread_id, content) for content in contents]
        cursor.executemany("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", rows)
        self._end(cursor)
        return range(cursor.rowcount)

    def _end(self, cursor: Cursor) -> None:
        self.requests += cursor.stats.requests
        cursor.close()
