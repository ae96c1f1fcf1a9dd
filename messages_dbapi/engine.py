"""The sealed SQLite connection: it runs statements on the declared tables and on local ones."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, cast

import apsw

from . import body, errors, functions, scope
from .binding import Parameters, bind
from .calls import Calls
from .creation import Creation
from .crew import Crew
from .errors import InterfaceError, NotSupportedError
from .execution import Execution
from .explanation import COLUMNS, Explanation
from .forecast import Forecaster
from .milestones import Milestones
from .options import Options
from .program import Loop, loops
from .resources import RESOURCES, SCHEMA, SHORT_SCHEMA, Resource
from .run import Run, persist
from .scan import Message, Reading, Scan
from .seal import NO_ATTACH, RETURNED_PREFIX, Seal
from .sql import Text
from .statement import Statement
from .table import Host, Module
from .translation import translated
from .types import LONGEST_VALUE, SQLValue
from .writing import Writing

_DECLARED = {resource.name: resource for resource in RESOURCES}
# Seconds to wait for another connection that has a file locked, and between two tries of the first few.
_BUSY = 30.0
_BUSY_STEP = 0.005
_LAST_BUSY_STEP = 0.1
# Seconds between two looks at the deadline and at cancellation while another thread is in the middle of a step.
_TURN = 0.05
# SQLite instructions between two such looks while it computes: some 100 microseconds, where none of them is a
# function of much work.
_PROGRESS_STEPS = 5_000
# Bytes of a LIKE or GLOB pattern. SQLite compares it at each place of the text and cannot be stopped meanwhile:
# with a message of the longest kind that takes a second or two.
_LIKE_PATTERN = 5_000


class Engine:
    """Run statements for one connection, one step at a time, from any thread."""

    def __init__(self, options: Options, calls: Calls) -> None:
        self.lock = threading.RLock()
        self._options = options
        self._calls = calls
        self._creation = Creation(calls)
        # The embedded service answers in the thread that asks: side by side would only be slower.
        self._crew = Crew(1 if options.embedded else options.concurrency)
        self._milestones = Milestones() if options.remember else Milestones(0)
        self._current: Execution | None = None
        self._process = os.getpid()
        # When SQLite gives up waiting for a lock on a file, by the monotonic clock.
        self._busy_until = 0.0
        self._waits = True
        # What to close of statements that were let go of while another one was in the middle of a step.
        self._dropped: deque[tuple[Execution, Callable[[], None]]] = deque()
        self._opened: set[apsw.Cursor] = set()
        self._seal = Seal(self._note_read)
        self.autocommit = False
        # Rows written to the service since the last commit: a rollback cannot undo them.
        self._sent = 0
        # How many they were at each savepoint that is open, by its name.
        self._savepoints: list[tuple[str, int]] = []
        with translated(self._seal):
            self._connection = self._open()

    def _open(self) -> apsw.Connection:
        with _naming("local", self._options.local):
            connection = apsw.Connection(self._options.local or ":memory:", statementcachesize=0)
            connection.set_busy_handler(self._wait_for_lock)
            connection.limit(apsw.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
            # The first that reads the file, and so the first that fails if it is none of SQLite's.
            connection.execute("PRAGMA schema_version").fetchall()
        connection.limit(apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _LIKE_PATTERN)
        for setting, value in _SETTINGS:
            connection.config(setting, value)
        # SQLite's advice for files that somebody else may have prepared, https://sqlite.org/security.html.
        connection.execute("PRAGMA cell_size_check = 1")
        host = Host(self._execution, self._as_text)
        for resource in RESOURCES:
            _create_modules(connection, resource, host)
        functions.register(connection)
        self._attach(connection)
        connection.set_progress_handler(self._is_stopped, _PROGRESS_STEPS)
        connection.authorizer = self._seal
        self._connection = connection
        self._shield(warn=True)
        return connection

    def _attach(self, connection: apsw.Connection) -> None:
        for schema in (SCHEMA, SHORT_SCHEMA):
            connection.execute(f"ATTACH ':memory:' AS \"{schema}\"")
            for resource in RESOURCES:
                connection.execute(f'CREATE VIRTUAL TABLE "{schema}".{resource.name} USING {resource.name}')
        most = connection.limit(apsw.SQLITE_LIMIT_ATTACHED) - 2
        if len(self._options.attach) > most:
            raise InterfaceError(f"attach names {len(self._options.attach)} files, and SQLite takes at most {most}")
        for name, path in self._options.attach:
            if not os.path.exists(path):
                raise InterfaceError(f"attach.{name}={path}: there is no such file")
            with _naming(f"attach.{name}", path):
                connection.execute(f'ATTACH ? AS "{name}"', (path,))

    def _shield(self, *, warn: bool = False) -> None:
        """Keep the service's names the service's where a local file has a table of that name.

        A file may get one at any time, from another connection.
        """
        with self._unsealed():
            schemas = ["main", *(name.lower() for name, _ in self._options.attach)]
            self._seal.local_tables = frozenset((schema, name) for schema in schemas for name in self._names(schema))
            local = {name for schema, name in self._seal.local_tables if schema == "main"}
            shields = self._names("temp")
            for name in _DECLARED:
                shielded = name in local or self._options.local is not None
                if shielded and name not in shields:
                    self._connection.execute(f"CREATE VIRTUAL TABLE temp.{name} USING {name}")
                elif not shielded and name in shields:
                    self._connection.execute(f"DROP TABLE temp.{name}")
                if warn and name in local:
                    warnings.warn(_hidden_local_table(name), stacklevel=2)

    def _shield_again(self) -> None:
        """Shield after a rollback, which must not wait for whoever has a file locked: then all stays as it is."""
        self._waits = False
        try:
            self._shield()
        except apsw.BusyError:
            pass
        finally:
            self._waits = True

    def _names(self, schema: str) -> set[str]:
        """List the tables and views of a schema that have the name of a declared table."""
        rows = self._connection.execute(
            f"SELECT lower(name) FROM \"{schema}\".sqlite_schema WHERE type IN ('table', 'view')"
        )
        return {str(name) for (name,) in rows} & _DECLARED.keys()

    @contextmanager
    def _unsealed(self) -> Iterator[None]:
        self._connection.authorizer = None
        try:
            yield
        finally:
            self._connection.authorizer = self._seal

    def _wait_for_lock(self, tries: int) -> bool:
        """Wait a little for a lock on a file, and tell SQLite whether to try again: its own waiting cannot be ended."""
        now = time.monotonic()
        if tries == 0:
            self._busy_until = now + _BUSY
        if now >= self._busy_until or not self._waits:
            return False
        pause = min(_BUSY_STEP * (tries + 1), _LAST_BUSY_STEP)
        if self._current is None:
            time.sleep(pause)
        else:
            self._current.statement.wait(pause)
        return True

    def _is_stopped(self) -> bool:
        return self._current is not None and self._current.statement.stopped

    def _note_read(self, table: str, column: str) -> None:
        if self._current is not None:
            self._current.reads.setdefault(table, set()).add(column)

    def _execution(self) -> Execution:
        if self._current is None:
            raise errors.InternalError("SQLite asked for a table outside any statement; please report it")
        return self._current

    def start(
        self, text: Text, sets: Iterable[Parameters | None], statement: Statement, messages: list[Message]
    ) -> Run:
        """Run a statement once for each set of parameters, as far as its first row.

        ``messages`` receives what it warns of. Raise one of PEP 249's errors; what a failed write has
        applied is on the error.
        """
        run = Run(self._prepare(text, statement, messages), self.stepping, self.drop, self._opened)
        if text.kind != "EMPTY":
            self._check_allowed(text)
            with _reporting(run.execution), run.timed(), self.stepping(run.execution):
                self._start(run, sets)
        if run.description is None:
            statement.finish()
        return run

    def _prepare(self, text: Text, statement: Statement, messages: list[Message]) -> Execution:
        def new_reading() -> Reading:
            return Reading(
                self._calls,
                self._creation,
                statement,
                messages=messages,
                crew=self._crew,
                milestones=self._milestones,
                page_size=self._options.page_size,
                skip_missing=self._options.missing_thread == "skip",
                # Two walks, and pages by known keys, may request more than one walk, which the bound would be short of.
                crosses=self._options.max_requests is None,
            )

        writing = Writing(self._calls, self._creation, statement, self._options.concurrency)
        default_scope = lru_cache(1)(self._default_scope)
        forecaster = Forecaster(self._options, self._milestones)
        return Execution(
            text,
            statement,
            new_reading,
            writing,
            self._options,
            default_scope,
            self._loops,
            self._scout,
            forecaster,
        )

    def _loops(self, execution: Execution) -> dict[int, Loop]:
        """Look at SQLite's program for a statement under way: what it does with each of its scans."""
        rows = self._program(execution)
        return {} if rows is None else {loop.plan: loop for loop in loops(rows)}

    def _program(self, execution: Execution) -> list[Any] | None:
        """Give the rows of EXPLAIN for a statement under way; None where they are not those of its plans."""
        sql, values = execution.compiled
        trial = self._prepare(execution.text, Statement(), [])
        trial.demands = execution.demands
        outer, self._current = self._current, trial
        try:
            rows = self._connection.execute(f"EXPLAIN {sql}", values, can_cache=False).fetchall()
        except UnicodeDecodeError:
            return None  # It shows the bytes of a BLOB in the statement as text.
        finally:
            self._current = outer
        # Asked twice, SQLite asks for the same plans; else nothing is known.
        return rows if trial.plans == execution.plans else None

    def _scout(self, execution: Execution) -> dict[int, list[Scan]]:
        """Find the scans that a statement will repeat, by a run in which those give no rows.

        What they depend on is read for it: local tables, and scans of the service's that are read anyway.
        """
        if execution.text.kind != "SELECT" and execution.text.target is None:
            return {}
        trial = self._prepare(execution.text, execution.statement, [])
        trial.demands, trial.reading, trial.known_loops = execution.demands, execution.reading, execution.known_loops
        trial.found = {}
        outer, self._current = self._current, trial
        cursor = self._connection.cursor()
        try:
            for _ in cursor.execute(*execution.compiled, can_cache=False):
                pass
        except (errors.Error, apsw.Error):
            pass  # What was found until then will do; if it was no fault of this run, it will come again.
        finally:
            cursor.close(True)
            self._current = outer
        return trial.found if trial.plans == execution.plans else {}

    def _default_scope(self) -> tuple[str, ...]:
        source = self._options.threads
        if source is None:
            return self._options.thread_id
        if isinstance(source, scope.TableSource):
            found: Sequence[Any] = [value for (value,) in self._connection.execute(_select_ids(source))]
            for value in found:
                problem = scope.problem_of_id(value)
                if problem:
                    raise errors.DataError(f"threads={source}: {problem}")
        else:
            found = scope.read_thread_ids(source)
        return tuple(dict.fromkeys((*self._options.thread_id, *found)))

    def _check_allowed(self, text: Text) -> None:
        if text.verb == "VACUUM":
            raise NotSupportedError(NO_ATTACH)
        if text.target is None:
            return
        problem = body.problem_of_write(_DECLARED[text.target], text.kind)
        if problem is not None:
            raise NotSupportedError(problem)
        if self._options.read_only:
            raise NotSupportedError(f"{text.kind} on {text.target} is refused: the connection is read_only")
        if text.conflict not in (None, "ABORT"):
            raise NotSupportedError(
                f"{text.conflict} is not available on {text.target}: the service has no unique values but its own ids"
            )

    @contextmanager
    def stepping(self, execution: Execution) -> Iterator[None]:
        """Hold the connection, be in the middle of one statement, and raise its errors as PEP 249's."""
        self._take_turn(execution.statement)
        try:
            with self._being(execution), translated(self._seal, execution.statement):
                yield
        finally:
            self.lock.release()
            self._close_dropped()

    @contextmanager
    def _being(self, execution: Execution) -> Iterator[None]:
        outer = self._current
        self._enter(execution)
        try:
            yield
        finally:
            self._enter(outer)

    def _take_turn(self, statement: Statement) -> None:
        """Take the lock, unless the statement is cancelled or its time is up before another thread gives it back."""
        self._check_process()
        while not self.lock.acquire(timeout=_TURN):
            statement.check()

    def drop(self, execution: Execution, close: Callable[[], None]) -> None:
        """Close what a statement holds, as soon as no other one is in the middle of a step."""
        self._dropped.append((execution, close))
        self._close_dropped()

    def _close_dropped(self) -> None:
        while self._dropped and not self.inherited and self.lock.acquire(blocking=False):
            try:
                while self._dropped:
                    execution, close = self._dropped.popleft()
                    with self._being(execution), translated(self._seal):
                        close()
            finally:
                self.lock.release()

    def _enter(self, execution: Execution | None) -> None:
        self._current = execution
        self._seal.refusal = None
        self._seal.writes_service = execution is not None and (execution.target is not None or execution.text.explain)

    @property
    def inherited(self) -> bool:
        """Tell whether another process has opened the connection, and this one, its child, has not used it."""
        return self._process != os.getpid()

    def _check_process(self) -> None:
        """Take over what a parent has left in memory, or raise InterfaceError where it is in files, or in use.

        SQLite forbids a child to use, and even to close, a connection of its parent's to a file: it would undo the
        parent's transaction (https://sqlite.org/howtocorrupt.html, "Carrying an open database connection across a
        fork").
        """
        if not self.inherited:
            return
        if self._options.local is not None or self._options.attach or not self.lock.acquire(blocking=False):
            raise InterfaceError(
                "this connection was opened by the parent of this process, which may be using it: connect anew here"
            )
        self.lock.release()
        self._process = os.getpid()

    def _start(self, run: Run, sets: Iterable[Parameters | None]) -> None:
        text = run.execution.text
        if text.explained is not None:
            self._explain(run, text.explained, sets)
        elif text.target is not None:
            self._write(run, _DECLARED[text.target], sets)
        elif text.kind in ("INSERT", "UPDATE", "DELETE"):
            self._write_locally(run, sets)
        else:
            self._read(run, sets)

    def _write(self, run: Run, resource: Resource, sets: Iterable[Parameters | None]) -> None:
        execution = run.execution
        text, writing = execution.text, execution.writing
        bounds = (bind(text.parameters, parameters) for parameters in sets)
        returned = "" if text.returning is None else _returned(text, resource)
        if returned:
            self._describe(returned, execution)
        values: tuple[SQLValue, ...] = ()
        try:
            for values, lists in bounds:
                execution.statement.check()
                execution.begin(lists)
                self._evaluate(resource, execution, values)
            execution.send()
        finally:
            self._sent += writing.count
        run.rowcount = writing.count
        if text.kind == "INSERT" and writing.ids:
            run.lastrowid = writing.ids[-1]
        if returned:
            self._give_back(run, returned, _pick(values, text.returning_parameters))

    def _explain(self, run: Run, text: Text, sets: Iterable[Parameters | None]) -> None:
        """Say what requests a statement would make, by a run in which its scans give no rows and nothing is sent."""
        self._check_allowed(text)
        for parameters in sets:
            values, lists = bind(text.parameters, parameters)
            trial = self._prepare(text, run.execution.statement, [])
            trial.sightings = []
            trial.begin(lists)
            with self._being(trial):
                is_whole = self._try(trial, values)
                program = self._program(trial)
            explanation = Explanation(trial, program, is_whole=is_whole)
            run.show(COLUMNS, explanation.rows())
            trial.let_go()

    def _try(self, trial: Execution, values: Sequence[SQLValue]) -> bool:
        """Run a statement that reads nothing; tell whether it came to its end.

        An error after a scan that gave no rows may be for want of them, and is none of the statement's.
        """
        resource = _DECLARED.get(trial.text.target or "")
        if resource is not None and trial.text.returning is not None:
            self._describe(_returned(trial.text, resource), trial)
        try:
            if resource is None:
                self._step_through(trial, values)
            else:
                self._evaluate(resource, trial, values)
        except (errors.Error, apsw.Error):
            trial.statement.check()
            if not any(sighting.reads for sighting in trial.sightings or ()):
                raise
            return False
        return True

    def _step_through(self, trial: Execution, values: Sequence[SQLValue]) -> None:
        trial.compiled = (trial.text.sql, _pick(values, trial.text.sql_parameters))
        cursor = self._connection.cursor()
        try:
            for _ in persist(trial, partial(cursor.execute, *trial.compiled, can_cache=False)):
                pass
        finally:
            cursor.close(True)

    def _check_constants(self, resource: Resource, text: Text, values: Sequence[SQLValue]) -> None:
        """Check what an UPDATE sets before it looks for rows, where that does not depend on the rows."""
        for column, sql, numbers in text.constants:
            if body.problem_of_update(resource, column.lower()) is None:
                value = self._connection.execute(f"SELECT {sql}", _pick(values, numbers), can_cache=False).get
                body.modification(resource, {column.lower(): body.sendable(value, self._as_text)})

    def _as_text(self, value: float) -> str:
        return str(self._connection.execute("SELECT CAST(? AS TEXT)", (value,)).get)

    def _evaluate(self, resource: Resource, execution: Execution, values: Sequence[SQLValue]) -> None:
        """Let SQLite find and check the rows of a write; they are sent later."""
        text = execution.text
        self._check_constants(resource, text, values)
        execution.compiled = (text.sql, _pick(values, text.sql_parameters))
        persist(execution, partial(self._connection.execute, *execution.compiled, can_cache=False))

    def _describe(self, sql: str, execution: Execution) -> None:
        """Compile a RETURNING list before anything is sent: it may be wrong, and it says what it uses."""
        cursor = self._connection.cursor()
        cursor.exec_trace = lambda *_: False
        self._seal.opens_returned = True
        values = (None,) * len(execution.text.returning_parameters)
        try:
            persist(execution, partial(cursor.execute, sql, values, can_cache=False))
        except apsw.ExecTraceAbort:
            pass
        finally:
            self._seal.opens_returned = False

    def _give_back(self, run: Run, sql: str, values: Sequence[SQLValue]) -> None:
        self._seal.opens_returned = True
        try:
            run.open(self._connection.cursor(), sql, values)
            run.buffer_all()
        finally:
            self._seal.opens_returned = False

    def _write_locally(self, run: Run, sets: Iterable[Parameters | None]) -> None:
        text = run.execution.text
        changes = 0
        if self._options.local is not None and any(name in text.sql.lower() for name in _DECLARED):
            self._shield()  # Another connection may have made a local table of that name.
        for parameters in sets:
            run.execution.statement.check()
            values, _ = bind(text.parameters, parameters)
            self._begin_transaction()
            run.execution.begin()
            run.open(self._connection.cursor(), text.sql, _pick(values, text.sql_parameters))
            run.buffer_all()
            changes += self._connection.changes()
        run.rowcount = changes
        if text.kind == "INSERT" and changes:
            run.lastrowid = self._connection.last_insert_rowid()

    def _begin_transaction(self) -> None:
        if not self.autocommit and not self._connection.in_transaction:
            self._connection.execute("BEGIN")

    def _read(self, run: Run, sets: Iterable[Parameters | None]) -> None:
        text = run.execution.text
        for parameters in sets:
            values, _ = bind(text.parameters, parameters)
            if text.verb == "SAVEPOINT":
                # Else its RELEASE would commit, and leave nothing to roll back.
                self._begin_transaction()
            run.execution.begin()
            run.open(self._connection.cursor(), text.sql, _pick(values, text.sql_parameters))
        if text.kind == "DDL":
            self._shield()
        if text.kind == "TRANSACTION" and not self._connection.in_transaction:
            self._ended(rolled_back=text.verb == "ROLLBACK")
        elif text.savepoint is not None:
            self._pass_savepoint(text.verb, text.savepoint)

    def _pass_savepoint(self, verb: str, name: str) -> None:
        """Note a savepoint that was set, released or rolled back to."""
        if verb == "SAVEPOINT":
            self._savepoints.append((name, self._sent))
            return
        place = max((place for place, (known, _) in enumerate(self._savepoints) if known == name), default=None)
        if place is None:
            return  # set under a name in string quotes, which SQLite takes too
        if verb == "ROLLBACK":
            sent, self._sent = self._sent - self._savepoints[place][1], self._savepoints[place][1]
            self._shield()
            _warn_of_rollback(sent)
        del self._savepoints[place + (verb == "ROLLBACK") :]

    def _ended(self, *, rolled_back: bool) -> None:
        """Note that a transaction has ended; warn where a rollback cannot undo what was sent."""
        sent, self._sent = self._sent, 0
        self._savepoints.clear()
        if rolled_back:
            self._shield_again()
            _warn_of_rollback(sent)

    def commit(self) -> None:
        """Commit the changes of local tables; those of the service stand already."""
        with self._alone():
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._ended(rolled_back=False)

    def rollback(self, *, warn: bool = True) -> None:
        """Undo the changes of local tables; warn where some of the service's cannot be undone."""
        with self._alone():
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if not warn:
                self._sent = 0
            self._ended(rolled_back=True)

    def close(self) -> None:
        """Close the connection; an open transaction of local tables is undone, unless it is a parent's."""
        self._crew.close()
        if not self.inherited:
            with self._alone():
                self._connection.close(True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the connection between statements."""
        self._check_process()
        with self.lock, translated(self._seal):
            yield


@contextmanager
def _reporting(execution: Execution) -> Iterator[None]:
    """Put on an error of a write what the write has done."""
    try:
        yield
    except errors.Error as error:
        if execution.text.target is not None:
            execution.writing.report(error)
        raise


def _warn_of_rollback(sent: int) -> None:
    """Say that rows which were written to the service stay."""
    if sent:
        rows = "1 row that was" if sent == 1 else f"{sent} rows that were"
        warnings.warn(errors.Warning(f"rollback cannot undo the {rows} written to the service"), stacklevel=5)


@contextmanager
def _naming(option: str, path: str | None) -> Iterator[None]:
    """Say which file it is that cannot be opened."""
    try:
        yield
    except (apsw.CantOpenError, apsw.NotADBError) as error:
        raise InterfaceError(f"{option}={path}: {error}; name a SQLite file, in a folder that exists") from error


def _create_modules(connection: apsw.Connection, resource: Resource, host: Host) -> None:
    # The casts: APSW's protocol names the optional methods as well.
    table = cast("apsw.VTModule", Module(resource, host))
    # Eponymous too: a view in a file cannot name another schema, but finds such a table in its own.
    connection.create_module(
        resource.name, table, use_bestindex_object=True, use_no_change=True, iVersion=2, eponymous=True
    )
    if resource.read_only:
        return
    returned = cast("apsw.VTModule", Module(resource, host, returned=True))
    connection.create_module(
        RETURNED_PREFIX + resource.name, returned, use_bestindex_object=True, eponymous=True, eponymous_only=True
    )


_SETTINGS = (
    (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
    (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
    # Else a mistyped column in double quotes would be a text.
    (apsw.SQLITE_DBCONFIG_DQS_DML, 0),
    (apsw.SQLITE_DBCONFIG_DQS_DDL, 0),
)


def _hidden_local_table(name: str) -> errors.Warning:
    return errors.Warning(
        f"the local file has a table {name}: {name} alone is the service's; write main.{name} for the local one"
    )


def _select_ids(source: scope.TableSource) -> str:
    return f'SELECT DISTINCT "{source.column}" FROM "{source.schema}"."{source.table}" WHERE "{source.column}" NOT NULL'


def _returned(text: Text, resource: Resource) -> str:
    alias = (text.alias or resource.name).replace('"', '""')
    return f'SELECT {text.returning} FROM "{RETURNED_PREFIX}{resource.name}" AS "{alias}"'


def _pick(values: Sequence[SQLValue], numbers: Sequence[int]) -> Sequence[SQLValue]:
    return [values[number - 1] for number in numbers]
