"""Superset from end to end: what it shows is what the driver answers to the same question."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import pytest

from messages_dbapi import Connection

from .conftest import THREADS, add_database
from .server import Superset

pytest.importorskip("superset")

_SCHEMA = "openai.assistants"
_COUNT = {"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}


class Lab:
    """SQL Lab on one database."""

    def __init__(self, superset: Superset, database: int) -> None:
        self.superset = superset
        self.database = database

    def answer(self, sql: str, **options: Any) -> Any:
        """Execute a text and give the answer, whatever it is."""
        body = {"database_id": self.database, "sql": sql, "runAsync": False, "schema": _SCHEMA, "queryLimit": 1000}
        return self.superset.request("POST", "/api/v1/sqllab/execute/", json=body | options)

    def rows(self, sql: str, **options: Any) -> list[tuple[Any, ...]]:
        """Execute a text and give its rows."""
        answer = self.answer(sql, **options)
        assert answer.status_code == 200, answer.text
        return [tuple(row.values()) for row in answer.json()["data"]]

    def error(self, sql: str) -> str:
        """Execute a text that fails and give what is said of it."""
        answer = self.answer(sql)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["errors"][0]["message"])


@pytest.fixture
def lab(superset: Superset, database: int) -> Lab:
    """Open SQL Lab on the database with default threads."""
    return Lab(superset, database)


def add_dataset(superset: Superset, database: int, name: str, **properties: Any) -> int:
    """Make a dataset of a table, or of a statement."""
    body = {"database": database, "schema": _SCHEMA, "table_name": name, **properties}
    number: int = superset.post("/api/v1/dataset/", body)["id"]
    return number


@pytest.fixture(scope="module")
def messages(superset: Superset, database: int) -> int:
    """Give the dataset of the table messages."""
    return add_dataset(superset, database, "messages")


@pytest.fixture(scope="module")
def transcript(superset: Superset, database: int) -> int:
    """Give the dataset of the table transcript."""
    return add_dataset(superset, database, "transcript")


def chart(superset: Superset, dataset: int, **query: Any) -> Any:
    """Ask for the data of a chart."""
    body = {
        "datasource": {"id": dataset, "type": "table"},
        "force": True,
        "queries": [{"metrics": [], "row_limit": 10_000, **query}],
        "result_format": "json",
        "result_type": "full",
    }
    return superset.request("POST", "/api/v1/chart/data", json=body)


def charted(superset: Superset, dataset: int, **query: Any) -> list[tuple[Any, ...]]:
    """Give the rows of a chart."""
    answer = chart(superset, dataset, **query)
    assert answer.status_code == 200, answer.text
    return [tuple(row.values()) for row in answer.json()["result"][0]["data"]]


def axis(column: str, grain: str) -> dict[str, str]:
    """Name the time axis of a chart."""
    return {
        "columnType": "BASE_AXIS",
        "expressionType": "SQL",
        "label": column,
        "sqlExpression": column,
        "timeGrain": grain,
    }


def test_the_spec_is_found() -> None:
    """Superset only logs an entry point that does not load."""
    (found,) = entry_points(group="superset.db_engine_specs", name="messages")
    assert found.load().engine == "messages"


def test_the_dialog_offers_it(superset: Superset) -> None:
    """The dialog for a new database names the engine, its drivers, and a URL to start from."""
    offered = superset.get("/api/v1/database/available/")["databases"]
    (ours,) = [entry for entry in offered if entry["engine"] == "messages"]
    assert (ours["name"], sorted(ours["available_drivers"])) == ("Messages", ["http", "https"])
    assert ours["sqlalchemy_uri_placeholder"].startswith("messages://:KEY@")
    assert not ours["engine_information"]["supports_file_upload"]
    assert ours["engine_information"]["disable_ssh_tunneling"]


class TestConnection:
    """The button of that name."""

    def _test(self, superset: Superset, url: str) -> tuple[int, str]:
        body = {"database_name": "new", "sqlalchemy_uri": url}
        answer = superset.request("POST", "/api/v1/database/test_connection/", json=body)
        return answer.status_code, answer.text

    def test_accepts_the_key(self, superset: Superset, url: str) -> None:
        """A key that the service accepts is good."""
        assert self._test(superset, url)[0] == 200

    def test_reports_a_wrong_key(self, superset: Superset, url: str) -> None:
        """A wrong key is an error, though an engine's ping makes no request."""
        status, text = self._test(superset, "messages+http://:wrong@" + url.partition("@")[2])
        assert status == 422
        assert "401" in text
        assert "Check api_key" in text

    def test_reports_what_does_not_answer(self, superset: Superset) -> None:
        """Nobody there is an error within the time of a test."""
        status, text = self._test(superset, "messages+http://:key@127.0.0.1:9/v1")
        assert status == 422
        assert "the connection was refused" in text

    def test_a_wrong_key_is_not_saved(self, superset: Superset, url: str) -> None:
        """A database that cannot be reached is not added, and the text says why."""
        body = {"database_name": "wrong", "sqlalchemy_uri": "messages+http://:wrong@" + url.partition("@")[2]}
        answer = superset.request("POST", "/api/v1/database/", json=body)
        assert answer.status_code == 422
        assert "Check api_key" in answer.text

    def test_hides_the_key(self, superset: Superset, database: int) -> None:
        """Superset shows the URL without the key."""
        shown = superset.get(f"/api/v1/database/{database}/connection")["result"]["sqlalchemy_uri"]
        assert "XXXXXXXXXX@" in shown
        assert "sk-of" not in shown


class TestLab:
    """SQL Lab."""

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM messages",
            'SELECT id, role, created_at, metadata, content_text FROM "openai.assistants".messages ORDER BY id',
            "SELECT id FROM openai.assistants.messages WHERE thread_id = 'thread_lisbon' AND role <> 'user';",
            "SELECT role, count(*) AS n FROM messages GROUP BY role -- how many",
            "/*+ a hint */ SELECT json_extract(metadata, '$.topic') AS topic, metadata ->> 'a.b' AS ab FROM messages",
            "SELECT json_extract(content, '$[0].text.value') AS t, json_extract_scalar(metadata, '$.topic') AS s "
            "FROM messages WHERE content_text LIKE '%7 \\%%' ESCAPE '\\'",
            "WITH messages AS (SELECT 1 AS one) SELECT one FROM messages",
            "SELECT m.id, t.id AS thread FROM messages m JOIN threads t ON t.id = m.thread_id ORDER BY 1 DESC LIMIT 7",
            "SELECT id, row_number() OVER (PARTITION BY role ORDER BY created_at, id) AS n FROM messages",
            "SELECT date(created_at, 'unixepoch') AS day, split_part(content_text, ' ', 2) AS w FROM messages",
            "SELECT id FROM messages WHERE content_text REGEXP '^It.s 1[0-3] '",
        ],
    )
    def test_selects(self, lab: Lab, connection: Connection, sql: str) -> None:
        """What SQLite's SQL can ask, Superset shows as the driver answers it."""
        expected = connection.execute(sql).fetchall()
        assert expected
        assert lab.rows(sql) == expected

    def test_shows_the_types(self, lab: Lab) -> None:
        """Columns are text, numbers and times by the types that the driver declares."""
        columns = lab.answer("SELECT id, created_at, metadata, count(*) AS n FROM messages").json()["columns"]
        assert [(column["column_name"], column["type"]) for column in columns] == [
            ("id", "VARCHAR"),
            ("created_at", "BIGINT"),
            ("metadata", "JSON"),
            ("n", "INT"),
        ]

    def test_limits(self, lab: Lab, connection: Connection) -> None:
        """Of the user's own LIMIT and that of the page the smaller one holds."""
        sql = "SELECT id FROM messages ORDER BY created_at, id"
        expected = connection.execute(sql).fetchall()
        assert lab.rows(f"{sql} LIMIT 3") == expected[:3]
        assert lab.rows(f"{sql} LIMIT 7", queryLimit=5) == expected[:5]
        assert lab.rows(sql, queryLimit=5) == expected[:5]

    @pytest.mark.parametrize("sql", ["-- nothing", "/* nothing */", "-- one\n/* two */ ;"])
    def test_takes_a_comment_alone(self, lab: Lab, sql: str) -> None:
        """A text without a statement has no result, and is no error."""
        assert lab.rows(sql) == []

    def test_replace_arrives_as_it_was_written(self, lab: Lab) -> None:
        """And gets the driver's own answer."""
        sql = "REPLACE INTO messages (thread_id, role, content) VALUES ('thread_lisbon', 'user', 'no')"
        assert "REPLACE is not available on messages" in lab.error(sql)

    def test_writes(self, lab: Lab, connection: Connection) -> None:
        """A message is created once, changed and deleted."""
        found = (
            "SELECT id, role, metadata FROM messages WHERE thread_id = 'thread_lisbon' AND content_text = 'It''s new'"
        )
        insert = "INSERT INTO messages (thread_id, role, content) VALUES ('thread_lisbon', 'user', 'It''s new')"
        assert lab.rows(insert) == []
        (created,) = connection.execute(found).fetchall()
        assert created[1:] == ("user", "{}")
        where = f"WHERE thread_id = 'thread_lisbon' AND id = '{created[0]}'"
        assert lab.rows(f'UPDATE messages SET metadata = \'{{"seen":"yes"}}\' {where}') == []
        assert connection.execute(found).fetchall() == [(created[0], "user", '{"seen":"yes"}')]
        assert lab.rows(f"DELETE FROM messages {where} RETURNING id") == [(created[0],)]
        assert connection.execute(found).fetchall() == []

    def test_returns_what_was_created(self, lab: Lab, connection: Connection) -> None:
        """INSERT with RETURNING shows the new row, and the statement runs once."""
        insert = (
            "INSERT INTO messages (thread_id, role, content) VALUES ('thread_lisbon', 'user', 'again') RETURNING id"
        )
        ((created,),) = lab.rows(insert)
        again = "FROM messages WHERE thread_id = 'thread_lisbon' AND content_text = 'again'"
        assert connection.execute(f"SELECT id {again}").fetchall() == [(created,)]
        assert connection.execute(f"DELETE {again}").rowcount == 1

    def test_names_a_missing_column(self, lab: Lab) -> None:
        """An unknown column is told in Superset's own words."""
        assert lab.error("SELECT nope FROM messages") == 'We can\'t seem to resolve the column "nope"'

    def test_shows_the_drivers_errors(self, lab: Lab) -> None:
        """What the driver says reaches the user."""
        assert "knows no thread 'thread_gone'" in lab.error("SELECT * FROM messages WHERE thread_id = 'thread_gone'")

    @pytest.mark.parametrize("verb", ["UPDATE messages SET metadata = NULL", "DELETE FROM messages"])
    def test_a_write_names_its_threads(self, lab: Lab, verb: str) -> None:
        """The default threads do not count for a write, and the text says so."""
        assert lab.error(verb) == (
            f"Say in which threads: write WHERE thread_id = 'thread_…'. "
            f"Those in the URL of the database do not count for {verb[:6]}."
        )

    @pytest.mark.parametrize(
        "sql",
        [
            "INSERT INTO messages (thread_id, role, content) VALUES ('thread_lisbon', 'user', 'no')",
            "REPLACE INTO messages (thread_id, role, content) VALUES ('thread_lisbon', 'user', 'no')",
            "UPDATE messages SET metadata = NULL WHERE thread_id = 'thread_lisbon'",
            "DELETE FROM messages WHERE thread_id = 'thread_lisbon'",
            "WITH x AS (SELECT 'thread_lisbon' AS t) DELETE FROM messages WHERE thread_id IN (SELECT t FROM x)",
        ],
    )
    def test_reads_only_unless_allowed(self, reader: Lab, connection: Connection, sql: str) -> None:
        """A database without the permission refuses every form of a write."""
        before = connection.execute("SELECT id, metadata FROM messages").fetchall()
        assert "DML" in reader.error(sql) or "mutate" in reader.error(sql)
        assert connection.execute("SELECT id, metadata FROM messages").fetchall() == before


@pytest.fixture(scope="module")
def reader(superset: Superset, scoped_url: str) -> Lab:
    """Open SQL Lab on a database that may not be written to."""
    return Lab(superset, add_database(superset, "reader", scoped_url))


class TestDatasets:
    """What Superset makes of the tables by itself."""

    def test_lists_schemas_and_tables(self, superset: Superset, database: int) -> None:
        """The service's tables stand in their schema, and nothing else does."""
        assert _SCHEMA in superset.get(f"/api/v1/database/{database}/schemas/")["result"]
        listed = superset.get(f"/api/v1/database/{database}/tables/?q=(schema_name:{_SCHEMA})")["result"]
        assert {entry["value"] for entry in listed} >= {"messages", "threads", "transcript"}
        assert {entry["type"] for entry in listed} == {"table"}
        local = superset.get(f"/api/v1/database/{database}/tables/?q=(schema_name:main)")["result"]
        assert local == []

    def test_messages(self, superset: Superset, messages: int, connection: Connection) -> None:
        """The columns are those of the declaration, and created_at is the time."""
        dataset = superset.get(f"/api/v1/dataset/{messages}")["result"]
        names = [column[0] for column in connection.execute("SELECT * FROM messages WHERE 1=0").description or ()]
        assert [column["column_name"] for column in dataset["columns"]] == names
        assert dataset["main_dttm_col"] == "created_at"
        (created,) = [column for column in dataset["columns"] if column["is_dttm"]]
        assert (created["column_name"], created["python_date_format"]) == ("created_at", "epoch_s")

    def test_transcript(self, superset: Superset, transcript: int) -> None:
        """Its column created is the time without any setting."""
        dataset = superset.get(f"/api/v1/dataset/{transcript}")["result"]
        assert dataset["main_dttm_col"] == "created"
        (created,) = [column for column in dataset["columns"] if column["is_dttm"]]
        assert (created["column_name"], created["python_date_format"]) == ("created", None)

    def test_describes_a_table(self, superset: Superset, database: int) -> None:
        """SQL Lab shows columns with comments, and a statement to begin with that runs."""
        path = f"/api/v1/database/{database}/table_metadata/?name=messages&schema={_SCHEMA}"
        table = superset.get(path)
        assert len(table["columns"]) == 14
        assert all(column["comment"] for column in table["columns"])

    def test_previews_a_table(self, superset: Superset, lab: Lab, connection: Connection) -> None:
        """The preview reads the default threads."""
        sql = superset.get(f"/api/v1/database/{lab.database}/select_star/messages/{_SCHEMA}/")["result"]
        assert lab.rows(sql) == connection.execute("SELECT * FROM messages LIMIT 100").fetchall()

    def test_samples(self, superset: Superset, messages: int, connection: Connection) -> None:
        """The samples of a dataset read the default threads."""
        path = f"/datasource/samples?datasource_id={messages}&datasource_type=table&per_page=5&page=2"
        rows = [tuple(row.values()) for row in superset.post(path, {})["result"]["data"]]
        assert [row[0] for row in rows] == [
            row[0] for row in connection.execute("SELECT id FROM messages ORDER BY id LIMIT 5 OFFSET 5")
        ]

    def test_a_virtual_dataset(self, superset: Superset, database: int, connection: Connection) -> None:
        """A statement is a dataset, whose columns Superset learns by itself."""
        sql = "SELECT role, thread_id, metadata ->> 'topic' AS topic, length(content_text) AS n FROM messages"
        dataset = add_dataset(superset, database, "lengths", sql=sql)
        columns = superset.get(f"/api/v1/dataset/{dataset}")["result"]["columns"]
        assert [column["column_name"] for column in columns] == ["role", "thread_id", "topic", "n"]
        longest = {"expressionType": "SQL", "sqlExpression": "MAX(n)", "label": "longest"}
        rows = charted(
            superset, dataset, columns=["role", "topic"], metrics=[longest, _COUNT], orderby=[["role", True]]
        )
        expected = f"SELECT role, topic, max(n), count(*) FROM ({sql}) GROUP BY role, topic"
        assert sorted(rows) == sorted(connection.execute(expected).fetchall())

    def test_a_virtual_dataset_has_a_time(self, superset: Superset, database: int, connection: Connection) -> None:
        """The type of created travels through a statement."""
        dataset = add_dataset(superset, database, "said", sql="SELECT created, role AS who FROM transcript")
        assert superset.get(f"/api/v1/dataset/{dataset}")["result"]["main_dttm_col"] == "created"
        rows = charted(superset, dataset, columns=[axis("created", "P1D"), "who"], metrics=[_COUNT])
        assert Counter({(day, who): n for day, who, n in rows}) == counted(connection, _day)


def moments(connection: Connection) -> list[tuple[datetime, str]]:
    """Read when each message was created, and its role."""
    rows = connection.execute("SELECT created_at, role FROM messages").fetchall()
    return [(datetime.fromtimestamp(created_at, UTC), role) for created_at, role in rows]


def milliseconds(moment: datetime) -> float:
    """Write a moment as the data of a chart has it."""
    return moment.timestamp() * 1000


def counted(connection: Connection, truncate: Callable[[datetime], datetime]) -> Counter[tuple[float, str]]:
    """Count the messages of each role per unit of time, without SQL."""
    return Counter((milliseconds(truncate(moment)), role) for moment, role in moments(connection))


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0)


def _week(moment: datetime) -> datetime:
    return _day(moment) - timedelta(days=moment.isoweekday() % 7)


def _monday_week(moment: datetime) -> datetime:
    return _day(moment) - timedelta(days=moment.weekday())


def _month(moment: datetime) -> datetime:
    return _day(moment).replace(day=1)


def _quarter(moment: datetime) -> datetime:
    return _month(moment).replace(month=moment.month - (moment.month - 1) % 3)


def _year(moment: datetime) -> datetime:
    return _month(moment).replace(month=1)


_GRAINS = {
    "PT1S": lambda moment: moment,
    "PT1M": lambda moment: moment.replace(second=0),
    "PT15M": lambda moment: moment.replace(minute=moment.minute // 15 * 15, second=0),
    "PT1H": _hour,
    "P1D": _day,
    "P1W": _week,
    "1969-12-29T00:00:00Z/P1W": _monday_week,
    "P1M": _month,
    "P3M": _quarter,
    "P1Y": _year,
}


class TestCharts:
    """The data of charts."""

    @pytest.mark.parametrize("table", ["messages", "transcript"])
    def test_bars_by_role(self, superset: Superset, connection: Connection, table: str, request: Any) -> None:
        """A bar chart counts the messages of each role."""
        rows = charted(superset, request.getfixturevalue(table), columns=["role"], metrics=[_COUNT])
        assert (
            sorted(rows)
            == connection.execute("SELECT role, count(*) FROM messages GROUP BY role ORDER BY role").fetchall()
        )

    @pytest.mark.parametrize(("table", "column"), [("messages", "created_at"), ("transcript", "created")])
    @pytest.mark.parametrize("grain", _GRAINS)
    def test_a_time_series(
        self, superset: Superset, connection: Connection, table: str, column: str, grain: str, request: Any
    ) -> None:
        """A line of time counts per unit, on epoch seconds and on timestamps alike."""
        rows = charted(
            superset, request.getfixturevalue(table), columns=[axis(column, grain), "role"], metrics=[_COUNT]
        )
        assert Counter({(at, role): n for at, role, n in rows}) == counted(connection, _GRAINS[grain])

    @pytest.mark.parametrize(("table", "column"), [("messages", "created_at"), ("transcript", "created")])
    def test_a_range_of_time(
        self, superset: Superset, connection: Connection, table: str, column: str, request: Any
    ) -> None:
        """A range of time holds its beginning and not its end, to the second."""
        first, last = sorted(moments(connection))[20][0], sorted(moments(connection))[60][0]
        span = f"{first:%Y-%m-%dT%H:%M:%S} : {last:%Y-%m-%dT%H:%M:%S}"
        where = [{"col": column, "op": "TEMPORAL_RANGE", "val": span}]
        rows = charted(superset, request.getfixturevalue(table), columns=["id"], filters=where)
        sql = "SELECT id FROM messages WHERE created_at >= ? AND created_at < ?"
        expected = connection.execute(sql, (int(first.timestamp()), int(last.timestamp()))).fetchall()
        assert len(expected) == 40
        assert sorted(rows) == sorted(expected)

    @pytest.mark.parametrize(
        ("chosen", "condition"),
        [
            ({"col": "role", "op": "==", "val": "user"}, "role = 'user'"),
            ({"col": "role", "op": "!=", "val": "user"}, "role <> 'user'"),
            ({"col": "role", "op": "IN", "val": ["user", "it's"]}, "role IN ('user', 'it''s')"),
            ({"col": "run_id", "op": "NOT IN", "val": ["run_1"]}, "run_id NOT IN ('run_1')"),
            ({"col": "run_id", "op": "LIKE", "val": "%_2"}, "run_id LIKE '%_2'"),
            ({"col": "run_id", "op": "ILIKE", "val": "RUN_%"}, "run_id LIKE 'RUN_%'"),
            ({"col": "run_id", "op": "NOT LIKE", "val": "%2"}, "run_id NOT LIKE '%2'"),
            ({"col": "run_id", "op": "IS NULL"}, "run_id IS NULL"),
            ({"col": "run_id", "op": "IS NOT NULL"}, "run_id IS NOT NULL"),
            ({"col": "thread_id", "op": "==", "val": THREADS[1]}, f"thread_id = '{THREADS[1]}'"),
            ({"col": "thread_id", "op": "IN", "val": list(THREADS)}, "1"),
            ({"col": "metadata", "op": "LIKE", "val": '%"travel"%'}, "metadata LIKE '%\"travel\"%'"),
        ],
    )
    @pytest.mark.parametrize("table", ["messages", "transcript"])
    def test_filters(
        self, superset: Superset, connection: Connection, table: str, chosen: Any, condition: str, request: Any
    ) -> None:
        """Every kind of filter keeps the rows that its condition keeps."""
        rows = charted(superset, request.getfixturevalue(table), columns=["id"], filters=[chosen])
        expected = connection.execute(f"SELECT id FROM messages WHERE {condition}").fetchall()
        assert expected
        assert sorted(rows) == sorted(expected)

    def test_filters_epochs(self, superset: Superset, messages: int, connection: Connection) -> None:
        """Epoch seconds compare as numbers."""
        middle = int(sorted(moments(connection))[80][0].timestamp())
        where = [{"col": "created_at", "op": ">=", "val": middle}]
        rows = charted(superset, messages, columns=["id"], filters=where)
        expected = connection.execute("SELECT id FROM messages WHERE created_at >= ?", (middle,)).fetchall()
        assert sorted(rows) == sorted(expected)

    def test_custom_sql(self, superset: Superset, transcript: int, connection: Connection) -> None:
        """Conditions and expressions that a user writes take SQLite's functions."""
        words = {"expressionType": "SQL", "label": "first", "sqlExpression": "split_part(text, ' ', 2)"}
        rows = charted(
            superset, transcript, columns=[words], extras={"where": "json_extract(metadata, '$.topic') = 'travel'"}
        )
        sql = (
            "SELECT DISTINCT split_part(content_text, ' ', 2) FROM messages "
            "WHERE json_extract(metadata, '$.topic') = 'travel'"
        )
        assert sorted(rows) == sorted(connection.execute(sql).fetchall())

    def test_a_limit_of_series(self, superset: Superset, transcript: int, connection: Connection) -> None:
        """The series with the most messages are found by a join of the table with itself."""
        rows = charted(
            superset,
            transcript,
            columns=[axis("created", "P1M"), "run_id"],
            metrics=[_COUNT],
            # Of all series, that of the messages without a run is the longest, and joins with nothing.
            filters=[{"col": "run_id", "op": "IS NOT NULL"}],
            granularity="created",
            is_timeseries=True,
            series_columns=["run_id"],
            series_limit=1,
            series_limit_metric=_COUNT,
        )
        sql = "SELECT run_id, count(*) FROM messages WHERE run_id IS NOT NULL GROUP BY run_id ORDER BY 2 DESC LIMIT 1"
        best = connection.execute(sql).fetchone()
        assert best is not None
        assert {row[-2] for row in rows} == {best[0]}
        assert sum(row[-1] for row in rows) == best[1]

    def test_rows_in_pages(self, superset: Superset, transcript: int, connection: Connection) -> None:
        """A table of raw rows has limit, offset and order."""
        rows = charted(
            superset, transcript, columns=["id", "text"], orderby=[["id", False]], row_limit=10, row_offset=20
        )
        sql = "SELECT id, content_text FROM messages ORDER BY id DESC LIMIT 10 OFFSET 20"
        assert rows == connection.execute(sql).fetchall()

    @pytest.mark.parametrize("column", ["role", "run_id", "thread_id"])
    def test_values_to_choose_from(
        self, superset: Superset, transcript: int, connection: Connection, column: str
    ) -> None:
        """A filter offers the values that there are."""
        values = superset.get(f"/api/v1/datasource/table/{transcript}/column/{column}/values/")["result"]
        expected = connection.execute(f"SELECT DISTINCT {column} FROM messages").fetchall()
        assert sorted(map(str, values)) == sorted(str(value) for (value,) in expected)


@pytest.fixture(scope="module")
def unscoped(superset: Superset, url: str) -> Lab:
    """Open SQL Lab on a database whose URL names no thread."""
    return Lab(superset, add_database(superset, "unscoped", url))


class TestMissingThread:
    """A database without a default thread."""

    def test_says_what_to_write(self, unscoped: Lab) -> None:
        """The text names the places where threads can stand."""
        text = unscoped.error("SELECT * FROM messages")
        assert "?thread_id=thread_…" in text
        assert "WHERE thread_id = 'thread_…'" in text

    def test_names_it_in_the_statement(self, unscoped: Lab, connection: Connection) -> None:
        """With a thread in the statement there is nothing amiss."""
        sql = f"SELECT id FROM messages WHERE thread_id = '{THREADS[0]}'"
        assert unscoped.rows(sql) == connection.execute(sql).fetchall()

    def test_a_chart_needs_a_filter(self, superset: Superset, unscoped: Lab, connection: Connection) -> None:
        """A chart without a thread shows the driver's text, and works with a filter on it."""
        sql = "SELECT role, thread_id FROM messages"
        dataset = add_dataset(superset, unscoped.database, "bare", sql=f"{sql} WHERE thread_id = '{THREADS[0]}'")
        superset.put(f"/api/v1/dataset/{dataset}", {"sql": sql})
        failed = chart(superset, dataset, columns=["role"], metrics=[_COUNT])
        assert failed.status_code == 400
        assert "Write WHERE thread_id = 'thread_…'" in failed.json()["message"]
        where = [{"col": "thread_id", "op": "==", "val": THREADS[0]}]
        rows = charted(superset, dataset, columns=["role"], metrics=[_COUNT], filters=where)
        sql = f"SELECT role, count(*) FROM messages WHERE thread_id = '{THREADS[0]}' GROUP BY role"
        assert sorted(rows) == sorted(connection.execute(sql).fetchall())


@contextmanager
def row_level_security(superset: Superset, dataset: int, clause: str) -> Iterator[None]:
    """Let everybody see only the rows of a condition, the administrator too."""
    body = {"name": "rule", "filter_type": "Base", "tables": [dataset], "roles": [], "clause": clause}
    rule = superset.post("/api/v1/rowlevelsecurity/", body)["id"]
    try:
        yield
    finally:
        superset.delete(f"/api/v1/rowlevelsecurity/{rule}")


class TestRowLevelSecurity:
    """Rules of Superset's own about who sees which rows."""

    def test_charts(self, superset: Superset, messages: int, connection: Connection) -> None:
        """A chart counts only what the rule shows."""
        with row_level_security(superset, messages, "role = 'user'"):
            rows = charted(superset, messages, columns=["role"], metrics=[_COUNT])
        assert rows == connection.execute("SELECT role, count(*) FROM messages WHERE role = 'user'").fetchall()

    @pytest.mark.parametrize(
        "table",
        [
            "messages",
            "MESSAGES AS messages",
            '"openai.assistants".messages',
            "openai.assistants.messages",
            "assistants.[Messages]",
            "openai /* x */ . `ASSISTANTS` . messages",
            "(SELECT * FROM messages) AS messages",
        ],
    )
    def test_no_spelling_leads_round_it(
        self, superset: Superset, messages: int, lab: Lab, connection: Connection, table: str
    ) -> None:
        """In SQL Lab it holds for every way to write the table."""
        with row_level_security(superset, messages, f"thread_id = '{THREADS[0]}' AND role = 'user'"):
            rows = lab.rows(f"SELECT messages.id FROM {table} WHERE created_at > 0")
            elsewhere = lab.rows(f"SELECT messages.id FROM {table}", schema="main")
        sql = f"SELECT id FROM messages WHERE thread_id = '{THREADS[0]}' AND role = 'user'"
        expected = connection.execute(sql).fetchall()
        assert sorted(rows) == sorted(elsewhere) == sorted(expected)

    def test_virtual_datasets(self, superset: Superset, messages: int, lab: Lab, connection: Connection) -> None:
        """A statement over the table sees only what the rule shows."""
        sql = "SELECT id, role FROM openai.assistants.messages"
        dataset = add_dataset(superset, lab.database, "ruled", sql=sql)
        with row_level_security(superset, messages, "role = 'user'"):
            rows = charted(superset, dataset, columns=["role"], metrics=[_COUNT])
        assert rows == connection.execute("SELECT role, count(*) FROM messages WHERE role = 'user'").fetchall()


def test_answers_are_json(lab: Lab) -> None:
    """Arrays and objects are shown as their JSON text."""
    ((metadata, content),) = lab.rows("SELECT metadata, content FROM messages LIMIT 1")
    assert json.loads(metadata)["topic"] in ("parcel", "travel")
    assert json.loads(content)[0]["type"] == "text"
