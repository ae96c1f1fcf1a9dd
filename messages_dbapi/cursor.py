"""The cursor of PEP 249: one statement after the other, and the rows of the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .binding import Parameters
from .errors import InterfaceError, ProgrammingError
from .run import Run
from .scan import Message
from .sql import Text, analyse
from .statement import Statement, Stats
from .types import Column, Row

if TYPE_CHECKING:
    from .connection import Connection


class Cursor:
    """Execute statements and fetch their rows; made by ``Connection.cursor()``.

    Rows stream: a page is requested when a row of it is needed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._run: Run | None = None
        self._statement = Statement()
        self._fetched = 0
        self._closed = False
        self.arraysize = 1
        self._messages: list[Message] = []

    @property
    def connection(self) -> Connection:
        """Give the connection that the cursor was made by."""
        return self._connection

    @property
    def description(self) -> tuple[Column, ...] | None:
        """Describe the columns of the result, seven items each; None where there is no result.

        It is there right after ``execute``, also for no rows. The type code is the declared type of a
        column that stands for itself (``VARCHAR``, ``BIGINT``, ``JSON`` for the service's), else None.
        """
        return None if self._run is None else self._run.description

    @property
    def rowcount(self) -> int:
        """Count the rows that a write changed; -1 for a SELECT, whose rows are streamed."""
        return -1 if self._run is None else self._run.rowcount

    @property
    def lastrowid(self) -> str | int | None:
        """Give the id of the last row that an INSERT created."""
        return None if self._run is None else self._run.lastrowid

    @property
    def rownumber(self) -> int | None:
        """Give the 0-based index of the next row; None without a result."""
        return None if self.description is None else self._fetched

    @property
    def messages(self) -> list[Message]:
        """List what the last statement warned of, such as threads that were skipped, as (class, warning)."""
        return self._messages

    @property
    def stats(self) -> Stats:
        """Give what the last statement has cost so far; live, and readable from other threads."""
        return self._statement.stats

    def execute(self, operation: str, parameters: Parameters | None = None) -> Self:
        """Run one statement, as far as its first row; give the cursor itself.

        ``parameters`` are a sequence for ``?`` or a mapping for ``:name``. A list or dict among them is
        bound as JSON text.
        """
        return self._start(analyse(self._checked(operation)), (parameters,))

    def executemany(self, operation: str, seq_of_parameters: Iterable[Parameters]) -> Self:
        """Run a statement once for each set of parameters; it must not give rows by itself.

        The rows of an INSERT are all evaluated before the first is sent.
        """
        text = analyse(self._checked(operation))
        if text.kind not in ("INSERT", "UPDATE", "DELETE"):
            raise ProgrammingError(f"executemany takes INSERT, UPDATE and DELETE, not {text.kind}")
        return self._start(text, seq_of_parameters)

    def _checked(self, operation: str) -> str:
        self._check_open()
        if not isinstance(operation, str):
            raise ProgrammingError(f"a statement must be a str, not {type(operation).__name__}")
        return operation

    def _start(self, text: Text, sets: Iterable[Parameters | None]) -> Self:
        self._stop()
        self._run = None
        self._statement = self._connection.new_statement()
        self._run = self._connection.engine.start(text, sets, self._statement, self._messages)
        return self

    def fetchone(self) -> Row | None:
        """Give the next row, or None after the last one."""
        rows = self._fetch(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """Give the next ``size`` rows (default: ``arraysize``), fewer at the end."""
        count = self.arraysize if size is None else size
        if count < 0:
            raise ProgrammingError(f"fetchmany takes a number of rows, not {count}")
        return self._fetch(count)

    def fetchall(self) -> list[Row]:
        """Give all rows that are left."""
        return self._fetch(None)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def _fetch(self, count: int | None) -> list[Row]:
        self._check_open()
        if self._run is None or self._run.description is None:
            raise InterfaceError("there are no rows to fetch: no statement that gives rows has been executed")
        rows = self._run.fetch(count)
        self._fetched += len(rows)
        return rows

    def cancel(self) -> None:
        """End the statement under way, from another thread; the connection stays usable."""
        self._statement.cancel()

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Do nothing: values have the types they come with."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing: values are given whole."""

    def close(self) -> None:
        """Let go of the rows that were not fetched; what was counted and created can still be asked for."""
        if not self._closed:
            self._stop()
            self._closed = True
            self._connection.forget(self)

    def _stop(self) -> None:
        self._fetched = 0
        self._messages.clear()
        if self._run is not None:
            self._run.close()

    def _check_open(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed")
        self._connection.check_open()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
