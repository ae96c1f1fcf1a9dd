"""A resource as a table of SQLite: its declaration, its scans, and its changes, which are gathered here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apsw

from . import body, decode
from .decode import KEY, SCOPE, Reader
from .errors import InternalError, NotSupportedError
from .execution import Execution
from .plan import ALL_COLUMNS, Plan, Planner, column_names, misuse_of
from .program import FIRST_PLAN
from .resources import SCHEMA, Field, FieldType, Hidden, Resource, Verb
from .scan import Scan
from .seal import KEY_COLUMN
from .selection import Values, bind
from .types import Row, SQLValue
from .writing import Write

# JSON and TIMESTAMP themselves would have numeric affinity, and tables made from a SELECT would turn texts
# into numbers.
_DECLARED_TYPES: dict[FieldType, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "timestamp": "TIMESTAMP_TEXT",
    "array": "JSON_TEXT",
    "object": "JSON_TEXT",
}


# No row is empty: each has its key.
_PAST_THE_LAST: Row = ()


class Host(NamedTuple):
    """What a table asks of the connection it is in: the statement under way, and SQLite's own casts."""

    execution: Callable[[], Execution]
    as_text: Callable[[float], str]


def declaration(resource: Resource) -> str:
    """Write the CREATE TABLE by which SQLite learns the columns.

    The rows have no number of their own: an invented one would lose rows under OR. Their key is made of
    scope and id.
    """
    columns = [_column(column, resource) for column in resource.columns]
    return f'CREATE TABLE x({", ".join(columns)}, "{KEY_COLUMN}" TEXT HIDDEN NOT NULL PRIMARY KEY) WITHOUT ROWID'


def _column(column: Field | Hidden, resource: Resource) -> str:
    hidden = " HIDDEN" if isinstance(column, Hidden) else ""
    # Else min() would ask for NULLs last, an order that SQLite offers to no virtual table.
    not_null = " NOT NULL" if column.name == resource.time else ""
    return f'"{column.name}" {_DECLARED_TYPES[column.type]}{hidden}{not_null}'


def _internal_key(row: Row, *, scoped: bool) -> str:
    return f"{len(row[SCOPE])}:{row[SCOPE]}{row[KEY]}" if scoped else str(row[KEY])


def _parse_key(internal_key: str, *, scoped: bool) -> tuple[str | None, str]:
    if not scoped:
        return None, internal_key
    length, _, rest = internal_key.partition(":")
    return rest[: int(length)], rest[int(length) :]


class Module:
    """Make the table of one resource, in any schema that asks for it."""

    def __init__(self, resource: Resource, host: Host, *, returned: bool = False) -> None:
        self._resource = resource
        self._table = ReturnedTable(resource, host) if returned else Table(resource, host)

    def Connect(  # noqa: N802  # APSW's name
        self, connection: apsw.Connection, module: str, schema: str, name: str, *arguments: object
    ) -> tuple[str, Table]:
        """Answer SQLite's CREATE VIRTUAL TABLE."""
        # A view in a file may read the table; what a trigger may do is the authorizer's matter.
        connection.vtab_config(apsw.SQLITE_VTAB_INNOCUOUS)
        return declaration(self._resource), self._table

    Create = Connect


class Table:
    """The table of one resource in one connection."""

    def __init__(self, resource: Resource, host: Host) -> None:
        self.resource = resource
        self.host = host
        self.names = column_names(resource)
        self._planner = Planner(resource)

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:  # noqa: N802  # APSW's name
        """Answer SQLite's question what of a query the service can do."""
        execution = self.host.execution()
        used = self._used(info, execution)
        plan = self._planner.plan(info, used, execution.demands)
        if plan is None:
            return False
        info.idxNum = FIRST_PLAN + len(execution.plans)
        execution.plans.append(plan)
        execution.sources.append(self.resource)
        return True

    def _used(self, info: apsw.IndexInfo, execution: Execution) -> frozenset[str]:
        if len(info.colUsed) < ALL_COLUMNS:
            used = {self.names[number] for number in info.colUsed if number < len(self.names)}
        else:
            used = execution.reads.get(self.resource.name, set())
        used = used - {KEY_COLUMN} - self.resource.list_parameters
        execution.used.setdefault(self.resource.name, set()).update(used)
        return frozenset(used)

    def Open(self) -> Cursor:  # noqa: N802  # APSW's name
        """Begin a scan."""
        execution = self.host.execution()
        return Cursor(self, execution, is_target=execution.opens_doomed(self.resource))

    def Disconnect(self) -> None:  # noqa: N802  # APSW's name
        """Have nothing to let go of."""

    Destroy = Disconnect

    def UpdateInsertRow(self, rowid: int | None, fields: tuple[SQLValue, ...]) -> int:  # noqa: N802  # APSW's name
        """Take in a row to create."""
        execution = self.host.execution()
        values = {
            name: body.sendable(value, self.host.as_text)
            for name, value in zip(self.names, fields, strict=True)
            if value is not None
        }
        values.pop(KEY_COLUMN, None)
        scope, content = body.creation(self.resource, values, execution.bound_lists)
        self._add(Write(self.resource, "INSERT", scope, body=content))
        return 0

    def UpdateChangeRow(self, row: str, new_row: str, fields: tuple[Any, ...]) -> None:  # noqa: N802  # APSW's name
        """Take in a row to modify."""
        changed = {
            name: body.sendable(value, self.host.as_text)
            for name, value in zip(self.names, fields, strict=True)
            if value is not apsw.no_change and name != KEY_COLUMN
        }
        content = body.modification(self.resource, changed)
        self._change("UPDATE", row, content)

    def UpdateDeleteRow(self, row: str) -> None:  # noqa: N802  # APSW's name
        """Take in a row to delete."""
        self._change("DELETE", row, None)

    def _change(self, verb: Verb, internal_key: str, content: body.Body | None) -> None:
        scope, key = _parse_key(internal_key, scoped=self.resource.scope is not None)
        doomed = self.host.execution().doomed.get(internal_key)
        self._add(Write(self.resource, verb, scope, key, content, doomed))

    def _add(self, write: Write) -> None:
        """Gather a write, which the statement sends on: unless it wrote to a table that only a file calls so."""
        execution = self.host.execution()
        if execution.target is not self.resource:
            name = self.resource.name
            raise NotSupportedError(f"to {write.verb} on the service, write {SCHEMA}.{name}, and no other name of it")
        execution.writing.add(write)


class Cursor:
    """One scan of a table, driven by SQLite."""

    def __init__(self, table: Table, execution: Execution, *, is_target: bool) -> None:
        self._table = table
        self._execution = execution
        self._is_target = is_target
        self._rows: Iterator[Row] = iter(())
        self._row: Row = _PAST_THE_LAST
        self._reader: Reader | None = None
        self._places: list[int | None] = []
        self._parameters: dict[str, SQLValue] = {}

    def Filter(self, number: int, name: str | None, arguments: tuple[SQLValue, ...]) -> None:  # noqa: N802  # APSW's name
        """Begin the scan anew with the values of the plan's terms."""
        number -= FIRST_PLAN
        plan = self._execution.plans[number]
        self._is_target |= plan.is_update
        reader = self._reader = decode.reader(self._table.resource, self._decoded(plan))
        self._places = [reader.position.get(decode.held_as(self._table.resource, name)) for name in self._table.names]
        values = bind(self._table.resource, plan, arguments, reader.position, self._table.host.as_text)
        self._parameters = {} if values is None else values.parameters
        if values is None:
            self._execution.sight(number, None, reads=False)
        self._rows = iter(()) if values is None else self._found(number, reader, values)
        self.Next()

    def _decoded(self, plan: Plan) -> frozenset[str]:
        """Name the columns to decode: those that any scan of the table uses, so that one listing serves all."""
        resource = self._table.resource
        narrowed = {term.column for term in plan.terms if term.column} - resource.list_parameters
        wanted = self._execution.used[resource.name] | narrowed
        return frozenset(wanted | self._execution.returning if self._is_target else wanted)

    def _found(self, number: int, reader: Reader, values: Values) -> Iterator[Row]:
        resource, plan = self._table.resource, self._execution.plans[number]
        if self._needs_only_keys(plan) and values.selection.keys is not None:
            scopes = [None] if resource.scope is None else values.scopes
            if scopes is not None:
                scan = Scan(resource, reader, values.scopes, values.selection)
                self._execution.sight(number, scan, reads=False)
                return iter([(key, None, scope) for scope in scopes for key in sorted(values.selection.keys)])
        scan = Scan(resource, reader, values.scopes, values.selection)
        return self._execution.rows(number, scan, is_target=self._is_target)

    def _needs_only_keys(self, plan: Plan) -> bool:
        """Tell whether a write names its rows by key and looks at nothing else: then it reads nothing.

        A key that is not there costs nothing: the write itself finds out.
        """
        resource = self._table.resource
        keys = {resource.scope, resource.key, resource.key_parameter}
        if not self._is_target or self._execution.gives_back_deleted:
            return False
        return plan.used | {term.column for term in plan.terms} <= keys

    def Eof(self) -> bool:  # noqa: N802  # APSW's name
        """Tell whether the scan is past its last row."""
        return not self._row

    def Next(self) -> None:  # noqa: N802  # APSW's name
        """Go to the next row."""
        self._row = next(self._rows, _PAST_THE_LAST)

    def Column(self, number: int) -> SQLValue:  # noqa: N802  # APSW's name
        """Give a column of the row."""
        place = self._places[number]
        if place is None:
            return self._other(self._table.names[number], self._row)
        value: SQLValue = self._row[place]
        return value

    def _other(self, name: str, row: Row) -> SQLValue:
        if name == KEY_COLUMN:
            return self._key(row)
        if name not in self._table.resource.list_parameters:
            raise InternalError(f"column {name} was not read for this statement; please report it")
        if name in self._parameters:
            return self._parameters[name]
        if name not in self._execution.shown:
            raise NotSupportedError(misuse_of(name))
        return None

    def _key(self, row: Row) -> str:
        key = _internal_key(row, scoped=self._table.resource.scope is not None)
        if self._is_target and self._reader is not None:
            self._execution.doom(key, row, self._table.resource, self._reader)
        return key

    def ColumnNoChange(self, number: int) -> SQLValue | object:  # noqa: N802  # APSW's name
        """Give nothing for a column that an UPDATE leaves alone, so that nothing need be read for it."""
        return apsw.no_change

    def Close(self) -> None:  # noqa: N802  # APSW's name
        """End the scan."""
        self._rows = iter(())


class ReturnedTable(Table):
    """The rows that a write gave back, for its RETURNING list to be evaluated on."""

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:  # noqa: N802  # APSW's name
        """Note which columns the list uses; take no term."""
        execution = self.host.execution()
        used = {self.names[number] for number in info.colUsed if number < len(self.names)}
        execution.returning |= frozenset(used - {KEY_COLUMN} - self.resource.list_parameters)
        return True

    def Open(self) -> ReturnedCursor:  # noqa: N802  # APSW's name
        """Begin to read the rows."""
        return ReturnedCursor(self, self.host.execution(), is_target=False)


class ReturnedCursor(Cursor):
    """One pass through the rows that a write gave back."""

    def Filter(self, number: int, name: str | None, arguments: tuple[SQLValue, ...]) -> None:  # noqa: N802  # APSW's name
        """Begin with the first row."""
        execution, resource = self._execution, self._table.resource
        reader = decode.reader(resource, execution.returning)
        self._places = [reader.position.get(decode.held_as(resource, name)) for name in self._table.names]
        self._rows = iter(execution.writing.rows)
        self.Next()

    def _other(self, name: str, row: Row) -> SQLValue:
        """Give NULL for a parameter of the listing: an error would come too late, after the write."""
        return None if name in self._table.resource.list_parameters else super()._other(name, row)
