"""One statement that was started in SQLite: its description, and its rows as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import apsw

from .errors import Error, InterfaceError, OperationalError
from .execution import Execution
from .resources import RESOURCES
from .seal import RETURNED_PREFIX
from .statement import Statement
from .timestamps import moment
from .types import Column, Row, SQLValue

_T = TypeVar("_T")
_DECLARED = {resource.name for resource in RESOURCES}


class Run:
    """One statement that was started: what it returns, and its rows as they are asked for."""

    def __init__(
        self,
        execution: Execution,
        stepping: Callable[[Execution], AbstractContextManager[None]],
        drop: Callable[[Execution, Callable[[], None]], None],
        opened: set[apsw.Cursor],
    ) -> None:
        self.execution = execution
        self.description: tuple[Column, ...] | None = None
        self.rowcount = -1
        self.lastrowid: str | int | None = None
        # Hold the connection, and be in the middle of the statement, while SQLite steps.
        self._stepping = stepping
        # Close something between the steps of other statements.
        self._drop = drop
        # What the connection has open: where all of it is forgotten together, the collector empties APSW's own list
        # of weak references, and APSW would not end to close what it refers to.
        self._opened = opened
        self._cursor: apsw.Cursor | None = None
        self._rows: Iterator[Row] = iter(())
        # The places of the service's timestamps, which PEP 249 wants to be datetimes.
        self._moments: list[int] = []
        self._failure: Error | None = None

    def open(self, cursor: apsw.Cursor, sql: str, values: Sequence[SQLValue]) -> None:
        """Compile a text, describe its result, and take its first step."""
        cursor.exec_trace = self._describe
        self._cursor = cursor
        self._opened.add(cursor)
        self.execution.compiled = (sql, values)
        try:
            rows = persist(self.execution, partial(cursor.execute, sql, values, can_cache=False))
        finally:
            # Else the two would hold each other, and a cursor that is dropped would lock its tables for a while.
            cursor.exec_trace = None
        self._rows = map(self._with_moments, rows) if self._moments else iter(rows)

    def show(self, columns: tuple[Column, ...], rows: list[Row]) -> None:
        """Give rows that no statement of SQLite's gives."""
        self.description = columns
        self._rows = iter(rows)

    def _with_moments(self, row: Row) -> Row:
        values = list(row)
        for place in self._moments:
            values[place] = moment(values[place])
        return tuple(values)

    def _describe(self, cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        columns = cursor.description_full
        self.execution.shown.update(str(column[4]) for column in columns if column[3] in _DECLARED)
        self.description = tuple(_column(column) for column in columns) or None
        self._moments = [place for place, column in enumerate(columns) if column[1] == _TIMESTAMP]
        return True

    def buffer_all(self) -> None:
        """Run to the end now, and keep the rows."""
        self.execution.takes_all = True
        self._rows = iter(list(self._rows))

    def fetch(self, count: int | None) -> list[Row]:
        """Give the next rows, all of them for None; once a fetch has failed, so does every later one."""
        if self._failure is not None:
            raise self._failure
        if count is None:
            self.execution.takes_all = True
        else:
            self.execution.wanted = self.execution.statement.stats.rows_returned + count
        with self.timed(), self._stepping(self.execution):
            self._check_process()
            rows = list(islice(self._rows, count))
        self.execution.statement.stats.rows_returned += len(rows)
        if count is None or len(rows) < count:
            self.execution.reading.stop()
            self.execution.statement.finish()
        return rows

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time that passes, and keep an error for every later fetch."""
        statement = self.execution.statement
        statement.stats.start()
        try:
            with _raising_what_was_raised(statement):
                yield
        except Error as error:
            self._failure = error
            self._abandon()
            raise
        except BaseException as error:
            self._failure = OperationalError(f"the statement was interrupted ({type(error).__name__})")
            self._abandon()
            raise
        finally:
            statement.stats.stop()

    def _abandon(self) -> None:
        """End what goes on ahead in other threads."""
        if not self.execution.reading.inherited:
            self.execution.reading.stop()
            self.execution.statement.cancel()

    def _check_process(self) -> None:
        if self.execution.reading.inherited:
            raise InterfaceError(
                "this statement was begun by the parent of this process, which may be reading ahead for it: "
                "execute it anew here"
            )

    def close(self) -> None:
        """Let go of the rows that were not fetched."""
        self._abandon()
        self.execution.statement.finish()
        self._failure = None
        self._rows = iter(())
        cursor, self._cursor = self._cursor, None
        self._drop(self.execution, partial(self._close, cursor))

    def _close(self, cursor: apsw.Cursor | None) -> None:
        if cursor is not None:
            cursor.close(True)
            self._opened.discard(cursor)
        self.execution.let_go()

    def __del__(self) -> None:
        self._abandon()
        if self._cursor is not None:
            self._opened.discard(self._cursor)


@contextmanager
def _raising_what_was_raised(statement: Statement) -> Iterator[None]:
    """Raise what the function raised that was told of the progress, whatever it has led to."""
    try:
        yield
    except BaseException as error:
        if statement.raised is None or statement.raised is error:
            raise
        raise statement.raised from None
    if statement.raised is not None:
        raise statement.raised


def persist(execution: Execution, run: Callable[[], _T]) -> _T:
    """Run a statement, and once more for each demand that it turns out not to bear."""
    while True:
        try:
            return run()
        except apsw.SQLError as error:
            _prepare_repeat(execution, error)


def _prepare_repeat(execution: Execution, error: apsw.SQLError) -> None:
    """Give up the demand that SQLite could not meet; raise the error where it was none of ours.

    There is no solution where two tables name each other's threads and nothing names one first. And SQLite
    misses one in a join of three with an OR, of whose branches it remembers the three cheapest ways only:
    where all cost the same, the way that needs no other table stays among them.
    """
    demands = execution.demands
    if "no query solution" in str(error) and demands.narrow_first:
        execution.repeat(replace(demands, narrow_first=False))
    elif "no query solution" in str(error) and demands.scope_first:
        execution.repeat(replace(demands, scope_first=False, narrow_first=True))
    else:
        raise error


# The service's columns that are declared with an affinity of text, by what they are.
_TIMESTAMP = "TIMESTAMP_TEXT"
_CODES = {"JSON_TEXT": "JSON", _TIMESTAMP: "TIMESTAMP"}
_FIELDS = {(resource.name, field.name): field for resource in RESOURCES for field in resource.fields}


def _column(described: tuple[Any, ...]) -> Column:
    """Give PEP 249's seven items for a column as SQLite describes it."""
    name, declared, _, table, origin = described
    field = _FIELDS.get((str(table).removeprefix(RETURNED_PREFIX), origin))
    code = _CODES.get(declared, declared or None)
    return (name, code, None, None, None, None, None if field is None else field.nullable)
