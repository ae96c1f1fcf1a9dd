"""PEP 249 and its optional extensions, kept to the letter."""

from __future__ import annotations

import builtins
import copy
import datetime
import inspect
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import dbapi20  # type: ignore[import-untyped]  # the suite has no types
import pytest

import messages_dbapi
from messages_dbapi import errors
from messages_dbapi.options import OPTION_NAMES, OPTIONS

from .service import Service


# Two tests of the suite leave their connection open.
@pytest.mark.filterwarnings("ignore:.*was not closed:ResourceWarning")
class TestCompliance(dbapi20.DatabaseAPI20Test):  # type: ignore[misc]  # the suite has no types
    """The public-domain compliance suite, on local tables."""

    driver = messages_dbapi
    connect_args = ("messages://",)

    @pytest.mark.skip("a statement has one result at most, so there is no nextset")
    def test_nextset(self) -> None:
        """Be skipped."""

    def test_non_idempotent_close(self) -> None:
        """Let a second close do nothing: the suite wants an error here, and says that reasonable persons differ."""
        connection = self._connect()
        connection.close()
        connection.close()
        for misuse in (connection.commit, connection.rollback, connection.cursor):
            with pytest.raises(messages_dbapi.InterfaceError, match="closed"):
                misuse()

    def test_setoutputsize(self) -> None:
        """Take any size."""
        with self._connect() as connection:
            cursor = connection.cursor()
            cursor.setoutputsize(1000)
            cursor.setoutputsize(2000, 0)


@pytest.fixture
def connection() -> Iterator[messages_dbapi.Connection]:
    with messages_dbapi.connect("messages://") as connection:
        yield connection


# The module.


def test_globals() -> None:
    assert messages_dbapi.apilevel == "2.0"
    assert messages_dbapi.threadsafety == 2
    assert messages_dbapi.paramstyle == "qmark"
    assert ".".join(map(str, messages_dbapi.sqlite_version_info)) == messages_dbapi.sqlite_version


def test_all_is_what_is_exported() -> None:
    modules = (type(inspect),)
    public = {
        name
        for name, value in vars(messages_dbapi).items()
        if not name.startswith("_") and not isinstance(value, modules)
    }
    assert set(messages_dbapi.__all__) == public
    assert messages_dbapi.__all__ == sorted(messages_dbapi.__all__, key=lambda name: (not name.isupper(), name))


def test_an_unknown_argument_is_an_interface_error() -> None:
    """As in a URL; a type checker sees it before."""
    with pytest.raises(messages_dbapi.InterfaceError, match=r"pagesize.*page_size"):
        messages_dbapi.connect("messages://", pagesize=5)  # type: ignore[arg-type]  # what the test is about


def test_connect_has_every_option_as_a_parameter() -> None:
    parameters = inspect.signature(messages_dbapi.connect).parameters
    *named, unknown = parameters
    assert tuple(named) == ("url", *OPTION_NAMES)
    assert parameters[unknown].kind is inspect.Parameter.VAR_KEYWORD
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters.values())
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in OPTION_NAMES)
    assert all(parameters[name].default is None for name in named)
    assert len(OPTIONS) == len(set(OPTION_NAMES))


def test_type_codes_equal_their_objects() -> None:
    assert messages_dbapi.STRING == "VARCHAR"
    assert messages_dbapi.STRING == "JSON"
    assert messages_dbapi.STRING == "varchar(20)"
    assert messages_dbapi.NUMBER == "BIGINT"
    assert messages_dbapi.DATETIME == "TIMESTAMP"
    assert messages_dbapi.BINARY == "BLOB"
    assert messages_dbapi.ROWID == "ROWID"
    assert messages_dbapi.STRING != "BIGINT"
    assert messages_dbapi.NUMBER != "VARCHAR"
    assert messages_dbapi.STRING != messages_dbapi.NUMBER
    assert messages_dbapi.STRING != 5
    assert copy.copy(messages_dbapi.STRING) == messages_dbapi.STRING
    assert {messages_dbapi.STRING: 1}[messages_dbapi.STRING] == 1


def test_constructors() -> None:
    assert messages_dbapi.Date(2026, 8, 26) == datetime.date(2026, 8, 26)
    assert messages_dbapi.Time(10, 11, 12) == datetime.time(10, 11, 12)
    assert messages_dbapi.Timestamp(2026, 8, 26, 1, 2, 3) == datetime.datetime(2026, 8, 26, 1, 2, 3)
    assert messages_dbapi.DateFromTicks(0) == datetime.date.fromtimestamp(0)
    assert messages_dbapi.TimeFromTicks(0) == datetime.datetime.fromtimestamp(0).time()
    assert messages_dbapi.TimestampFromTicks(0) == datetime.datetime.fromtimestamp(0)
    assert messages_dbapi.Binary(b"") == b""


# The exceptions.

ERRORS = (
    "InterfaceError",
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
)


@pytest.mark.parametrize("name", [*ERRORS, "Error", "Warning"])
def test_exceptions_are_on_the_connection(connection: messages_dbapi.Connection, name: str) -> None:
    assert getattr(connection, name) is getattr(messages_dbapi, name) is getattr(messages_dbapi.Connection, name)


def test_exceptions_are_a_tree() -> None:
    assert issubclass(messages_dbapi.Warning, builtins.Warning)
    assert not issubclass(messages_dbapi.Warning, messages_dbapi.Error)
    assert issubclass(messages_dbapi.InterfaceError, messages_dbapi.Error)
    assert not issubclass(messages_dbapi.InterfaceError, messages_dbapi.DatabaseError)
    assert all(issubclass(getattr(messages_dbapi, name), messages_dbapi.DatabaseError) for name in ERRORS[1:])


@pytest.mark.parametrize("name", ERRORS)
def test_errors_survive_pickling_and_copying(name: str) -> None:
    error = getattr(errors, name)(
        "text", status=429, code="rate_limit", param="thread_id", request_id="req_1", retry_after=1.5
    )
    error.applied, error.ids, error.outcome = 2, ("msg_1", "msg_2"), "unknown"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert twin.args == ("text",)
        assert vars(twin) == vars(error)


def test_an_error_of_the_service_survives_pickling(service: Service) -> None:
    with service.connect() as connection, pytest.raises(messages_dbapi.ProgrammingError) as caught:
        connection.execute("SELECT * FROM messages WHERE thread_id = 'thread_missing'")
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (str(twin), twin.status, twin.param) == (str(caught.value), 404, "thread_id")


# The connection.


def test_a_closed_connection_is_unusable(connection: messages_dbapi.Connection) -> None:
    cursor = connection.cursor().execute("SELECT 1")
    connection.close()
    for misuse in (
        connection.cursor,
        connection.commit,
        connection.rollback,
        connection.check,
        connection.__enter__,
        cursor.fetchone,
        cursor.fetchall,
        lambda: connection.execute("SELECT 1"),
        lambda: cursor.execute("SELECT 1"),
        lambda: next(cursor),
    ):
        with pytest.raises(messages_dbapi.InterfaceError, match="closed"):
            misuse()
    assert "closed" in repr(connection)


def test_a_closed_cursor_is_unusable(connection: messages_dbapi.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    cursor.close()
    for misuse in (cursor.fetchone, cursor.fetchmany, cursor.fetchall, cursor.__enter__):
        with pytest.raises(messages_dbapi.InterfaceError, match="closed"):
            misuse()
    with pytest.raises(messages_dbapi.InterfaceError, match="closed"):
        cursor.executemany("DELETE FROM t", [])


def test_with_commits_and_closes() -> None:
    with messages_dbapi.connect("messages://") as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(messages_dbapi.InterfaceError):
        connection.cursor()


def test_with_rolls_back_on_an_error(tmp_path: Any) -> None:
    path = tmp_path / "local.db"
    with messages_dbapi.connect("messages://", local=path) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    with (
        pytest.raises(messages_dbapi.ProgrammingError),
        messages_dbapi.connect("messages://", local=path) as connection,
    ):
        connection.execute("INSERT INTO t VALUES (2)").execute("wrong")
    with messages_dbapi.connect("messages://", local=path) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_a_connection_that_was_not_closed_says_so() -> None:
    connection = messages_dbapi.connect("messages://")
    with pytest.warns(ResourceWarning, match="not closed"):
        del connection


def test_a_connection_that_could_not_be_opened_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(messages_dbapi.InterfaceError, match="no_such_option"):
            messages_dbapi.connect("messages://?no_such_option=1")


# The cursor.


def test_a_new_cursor_has_no_result(connection: messages_dbapi.Connection) -> None:
    cursor = connection.cursor()
    assert cursor.connection is connection
    assert cursor.description is None
    assert cursor.rowcount == -1
    assert cursor.rownumber is None
    assert cursor.lastrowid is None
    assert cursor.messages == []
    assert cursor.arraysize == 1
    for misuse in (cursor.fetchone, cursor.fetchmany, cursor.fetchall, lambda: next(cursor)):
        with pytest.raises(messages_dbapi.InterfaceError, match="no rows to fetch"):
            misuse()


def test_a_statement_without_a_result_has_no_rows(connection: messages_dbapi.Connection) -> None:
    cursor = connection.execute("CREATE TABLE t (a)")
    assert cursor.description is None
    assert cursor.rownumber is None
    with pytest.raises(messages_dbapi.InterfaceError):
        cursor.fetchall()


def test_rownumber_is_the_index_of_the_next_row(connection: messages_dbapi.Connection) -> None:
    cursor = connection.execute("VALUES (1), (2), (3)")
    seen = [cursor.rownumber]
    for _ in range(4):
        cursor.fetchone()
        seen.append(cursor.rownumber)
    assert seen == [0, 1, 2, 3, 3]
    cursor.execute("SELECT 1")
    assert cursor.rownumber == 0


def test_iteration_gives_the_rows(connection: messages_dbapi.Connection) -> None:
    cursor = connection.execute("VALUES (1), (2), (3)")
    assert iter(cursor) is cursor
    assert [a for (a,) in cursor] == [1, 2, 3]
    assert list(cursor) == []
    assert cursor.fetchone() is None


def test_fetchmany_takes_arraysize_rows(connection: messages_dbapi.Connection) -> None:
    cursor = connection.execute("VALUES (1), (2), (3), (4)")
    assert cursor.fetchmany() == [(1,)]
    cursor.arraysize = 2
    assert cursor.fetchmany() == [(2,), (3,)]
    assert cursor.fetchmany(0) == []
    assert cursor.fetchmany(9) == [(4,)]
    assert cursor.fetchmany(9) == []
    with pytest.raises(messages_dbapi.ProgrammingError, match="-1"):
        cursor.fetchmany(-1)


def test_execute_gives_the_cursor(connection: messages_dbapi.Connection) -> None:
    cursor = connection.cursor()
    assert cursor.execute("SELECT 1") is cursor
    assert cursor.execute("CREATE TABLE t (a)") is cursor
    assert cursor.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)]) is cursor
    assert cursor.rowcount == 2


def test_cursors_of_one_connection_are_apart(connection: messages_dbapi.Connection) -> None:
    one, two = connection.execute("VALUES (1), (2)"), connection.execute("VALUES (3), (4)")
    assert [one.fetchone(), two.fetchone(), one.fetchone(), two.fetchone()] == [(1,), (3,), (2,), (4,)]


def test_executemany_takes_no_select(connection: messages_dbapi.Connection) -> None:
    cursor = connection.cursor()
    for sql in ("SELECT ?", "VALUES (?)", "PRAGMA table_info(t)"):
        with pytest.raises(messages_dbapi.ProgrammingError, match="executemany"):
            cursor.executemany(sql, [(1,)])


def test_executemany_of_nothing_does_nothing(connection: messages_dbapi.Connection) -> None:
    cursor = connection.execute("CREATE TABLE t (a)")
    assert cursor.executemany("INSERT INTO t VALUES (?)", []).rowcount == 0
    assert cursor.executemany("INSERT INTO messages (thread_id, role, content) VALUES (?, ?, ?)", []).rowcount == 0


@pytest.mark.parametrize("parameters", [[1, 2], (1, 2), {"a": 1, "b": 2}.values(), range(1, 3)])
def test_parameters_may_be_any_sequence(connection: messages_dbapi.Connection, parameters: Any) -> None:
    assert connection.execute("SELECT ?, ?", parameters).fetchone() == (1, 2)
