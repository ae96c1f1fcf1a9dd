"""Real clients on the service's tables give what the driver gives, and reflect them without a request."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

import sqlalchemy as sa

from .service import Service

_SCHEMAS = [None, "openai.assistants"]
_PAGES = 5
_COUNT = 100 * _PAGES
_BY_TIME = "SELECT id, role, created_at, content FROM messages WHERE thread_id = ? ORDER BY created_at"

Engines = Callable[..., sa.engine.Engine]


@pytest.fixture
def thread(service: Service) -> str:
    """Give a thread of five pages."""
    return service.thread(_COUNT, metadata={"k": "v"})


@pytest.fixture
def url(service: Service) -> str:
    """Give the URL of the service over a socket."""
    return service.base_url.replace("http://", "messages+http://", 1)


@pytest.fixture(params=["in process", "over http"])
def engines(service: Service, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engines]:
    """Make engines on the service with these options of the driver, in process and over a socket in turn."""
    made: list[sa.engine.Engine] = []
    local = tmp_path / "local.db"
    connect = service.connect if request.param == "in process" else service.connect_over_http

    def make(**options: Any) -> sa.engine.Engine:
        made.append(sa.create_engine("messages://", creator=lambda: connect(local=local, **options)))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def engine(engines: Engines) -> sa.engine.Engine:
    """Give an engine without a default scope."""
    return engines()


def _driver(service: Service, operation: str, *parameters: Any, **options: Any) -> list[tuple[Any, ...]]:
    """Give what the driver gives."""
    with service.connect(**options) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(operation, parameters).fetchall()
        return rows


def _rows(frame: Any) -> list[tuple[Any, ...]]:
    """Give the rows of a frame of pandas, or of dask once computed."""
    return list(frame.itertuples(index=False, name=None))


def _lists(service: Service) -> int:
    """Count the pages that were requested."""
    return sum(seen.method == "GET" and seen.path.endswith("/messages") for seen in service.seen)


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestPandas:
    @pytest.fixture
    def pd(self) -> Any:
        return pytest.importorskip("pandas")

    def test_read_sql_query(self, pd: Any, service: Service, engine: sa.engine.Engine, thread: str) -> None:
        frame = pd.read_sql_query(_BY_TIME, engine, params=(thread,))
        assert list(frame) == ["id", "role", "created_at", "content"]
        assert _rows(frame) == _driver(service, _BY_TIME, thread)

    def test_read_sql_of_a_select(self, pd: Any, service: Service, engine: sa.engine.Engine, thread: str) -> None:
        with service.counting() as seen:
            messages = sa.Table("messages", sa.MetaData(), autoload_with=engine)
        assert seen == []
        select = sa.select(messages.c.content, messages.c.metadata).where(messages.c.thread_id == thread)
        frame = pd.read_sql(select, engine)
        assert len(frame) == _COUNT
        assert frame.content[0][0]["text"]["value"] == "message 0"
        assert frame.metadata[0] == {"k": "v"}

    def test_chunks_stream(self, pd: Any, service: Service, engine: sa.engine.Engine, thread: str) -> None:
        counts, frames = [], []
        with engine.connect() as connection, service.counting():
            for chunk in pd.read_sql_query(_BY_TIME, connection, params=(thread,), chunksize=50):
                counts.append(_lists(service))
                frames.append(chunk)
        needed = [page for page in range(1, _PAGES + 1) for _half in range(2)]
        # The driver may be one page ahead.
        assert all(least <= count <= least + 1 for least, count in zip(needed, counts, strict=True))
        assert _rows(pd.concat(frames)) == _driver(service, _BY_TIME, thread)

    @pytest.mark.parametrize("schema", _SCHEMAS)
    def test_read_sql_table(self, pd: Any, service: Service, engines: Engines, thread: str, schema: str | None) -> None:
        with service.counting() as seen:
            frame = pd.read_sql_table("messages", engines(thread_id=thread), schema=schema)
        assert _PAGES <= len(seen) <= _PAGES + 2
        expected = _driver(service, "SELECT * FROM messages", thread_id=thread)
        assert list(frame) == [row[1] for row in _driver(service, "PRAGMA table_info(messages)")]
        assert list(frame.id) == [row[0] for row in expected]
        assert frame.content[0] == [{"type": "text", "text": {"value": "message 0", "annotations": []}}]

    @pytest.mark.parametrize("schema", _SCHEMAS)
    @pytest.mark.parametrize("method", [None, "multi"])
    def test_to_sql(self, pd: Any, service: Service, engine: sa.engine.Engine, schema: str | None, method: Any) -> None:
        thread = service.thread()
        frame = pd.DataFrame(
            {
                "thread_id": thread,
                "role": ["user", "assistant", "user"],
                "content": ["one", "two\nlines", "[]"],
                "metadata": [{"k": "v"}, None, float("nan")],
            }
        )
        with service.counting() as seen:
            count = frame.to_sql("messages", engine, schema=schema, if_exists="append", index=False, method=method)
        assert count == 3
        assert [request.method for request in seen] == ["POST"] * 3
        written = _driver(service, "SELECT role, content_text, metadata FROM messages WHERE thread_id = ?", thread)
        assert written == [
            ("user", "one", '{"k":"v"}'),
            ("assistant", "two\nlines", "{}"),
            ("user", "[]", "{}"),
        ]

    def test_local_tables_are_joined(self, pd: Any, engine: sa.engine.Engine, thread: str) -> None:
        labels = pd.DataFrame({"second": range(1_700_000_000, 1_700_000_010), "label": list("abcdefghij")})
        assert labels.to_sql("labels", engine, index=False) == 10
        pd.testing.assert_frame_equal(pd.read_sql_table("labels", engine), labels, check_dtype=False)
        frame = pd.read_sql(
            "SELECT label, content_text FROM messages JOIN labels ON second = created_at WHERE thread_id = ?",
            engine,
            params=(thread,),
        )
        assert sorted(_rows(frame)) == [(label, f"message {n}") for n, label in enumerate("abcdefghij")]


class TestPolars:
    @pytest.fixture
    def pl(self) -> Any:
        return pytest.importorskip("polars")

    def test_connection(self, pl: Any, service: Service, thread: str) -> None:
        with service.connect_over_http() as connection:
            frame = pl.read_database(_BY_TIME, connection, execute_options={"parameters": [thread]})
        assert frame.rows() == _driver(service, _BY_TIME, thread)
        assert frame.schema == {"id": pl.String, "role": pl.String, "created_at": pl.Int64, "content": pl.String}

    def test_cursor_without_rows(self, pl: Any, service: Service) -> None:
        with service.connect_over_http() as connection, closing(connection.cursor()) as cursor:
            frame = pl.read_database("SELECT id, created_at FROM messages WHERE 1 = 0", cursor)
        assert frame.schema == {"id": pl.String, "created_at": pl.Int64}

    def test_engine(self, pl: Any, service: Service, engine: sa.engine.Engine, thread: str) -> None:
        query = _BY_TIME.replace("?", ":thread")
        frame = pl.read_database(query, engine, execute_options={"parameters": {"thread": thread}})
        assert frame.rows() == _driver(service, _BY_TIME, thread)

    def test_batches(self, pl: Any, service: Service, thread: str) -> None:
        options = {"parameters": [thread]}
        with service.connect_over_http() as connection, service.counting():
            batches = pl.read_database(_BY_TIME, connection, execute_options=options, iter_batches=True, batch_size=100)
            first = next(batches)
            assert _lists(service) in (1, 2)
        assert first.rows() == _driver(service, _BY_TIME, thread)[:100]


class TestDask:
    @pytest.fixture
    def dd(self) -> Any:
        return pytest.importorskip("dask.dataframe")

    def test_read_sql_query(self, dd: Any, service: Service, url: str, thread: str) -> None:
        engine = sa.create_engine(url)
        messages = sa.Table("messages", sa.MetaData(), autoload_with=engine)
        engine.dispose()
        select = sa.select(messages.c.id, messages.c.created_at, messages.c.role).where(messages.c.thread_id == thread)
        frame = dd.read_sql_query(select, url, index_col="created_at", npartitions=3)
        assert frame.npartitions == 3
        expected = _driver(service, "SELECT id, role FROM messages WHERE thread_id = ?", thread)
        assert _rows(frame.compute(scheduler="synchronous")) == expected

    @pytest.mark.parametrize("schema", _SCHEMAS)
    def test_read_sql_table(self, dd: Any, service: Service, url: str, thread: str, schema: str | None) -> None:
        frame = dd.read_sql_table(
            "messages",
            f"{url}?thread_id={thread}",
            index_col="created_at",
            columns=["id", "role"],
            npartitions=2,
            schema=schema,
        )
        expected = _driver(service, "SELECT id, role FROM messages WHERE thread_id = ?", thread)
        assert _rows(frame.compute(scheduler="synchronous")) == expected


class TestSqlacodegen:
    @pytest.mark.parametrize("schema", _SCHEMAS)
    @pytest.mark.parametrize("generator", ["declarative", "tables"])
    def test_what_it_writes_works(
        self, service: Service, url: str, tmp_path: Path, generator: str, schema: str | None
    ) -> None:
        pytest.importorskip("sqlacodegen")
        thread = service.thread(3)
        target = tmp_path / "generated.py"
        schemas = [] if schema is None else ["--schemas", schema]
        arguments = ["--generator", generator, "--tables", "messages", *schemas, "--outfile", str(target)]
        with service.counting() as seen:
            subprocess.run([sys.executable, "-W", "error", "-m", "sqlacodegen", *arguments, url], check=True)
        assert seen == []
        generated = _import(target)
        engine = sa.create_engine(url)
        messages = generated.Messages.__table__ if generator == "declarative" else generated.t_messages
        with engine.begin() as connection:
            connection.execute(messages.insert(), {"thread_id": thread, "role": "user", "content": "a text"})
            select = sa.select(messages.c.id, messages.c.content).where(messages.c.thread_id == thread)
            rows = connection.execute(select).fetchall()
        engine.dispose()
        written = _driver(service, "SELECT id, content_text FROM messages WHERE thread_id = ?", thread)
        assert [(row.id, row.content[0]["text"]["value"]) for row in rows] == written
        assert written[3][1] == "a text"


class TestJupySQL:
    @pytest.fixture
    def shell(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
        """Give IPython with the magics, which write to no home and tell nobody."""
        for name in ("HOME", "USERPROFILE", "IPYTHONDIR"):
            monkeypatch.setenv(name, str(tmp_path))
        monkeypatch.setenv("PLOOMBER_STATS_ENABLED", "false")
        pytest.importorskip("sql.magic")
        interactive = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
        shell = interactive.instance()
        shell.run_line_magic("load_ext", "sql")
        yield shell
        interactive.clear_instance()

    def test_a_notebook(self, shell: Any, service: Service, url: str, thread: str) -> None:
        with service.counting() as seen:
            shell.run_line_magic("sql", f"{url} --alias service")
            columns = shell.run_line_magic("sqlcmd", "columns --table messages --schema openai.assistants")
        assert "thread_id" in str(columns)
        assert seen == []
        operation = f"SELECT id, role, content FROM messages WHERE thread_id = '{thread}' ORDER BY created_at"
        result = shell.run_cell_magic("sql", "", operation)
        assert [tuple(row) for row in result] == _driver(service, operation)
        shell.run_line_magic("sql", "--close service")


class TestLangChain:
    @pytest.fixture
    def database(self, engines: Engines) -> Any:
        utilities = pytest.importorskip("langchain_community.utilities.sql_database")
        return utilities.SQLDatabase(engines(unscoped="error"), sample_rows_in_table_info=2)

    def test_tables_are_described_without_a_request(self, service: Service, database: Any) -> None:
        with service.counting() as seen:
            assert {"messages", "threads"} <= set(database.get_usable_table_names())
            info = database.get_table_info(["messages"])
        assert "CREATE TABLE messages" in info
        assert "thread_id" in info
        assert seen == []

    def test_run(self, service: Service, database: Any, thread: str) -> None:
        operation = f"SELECT role, count(*) FROM messages WHERE thread_id = '{thread}' GROUP BY role"
        assert database.run(operation) == str(_driver(service, operation))

    @pytest.mark.parametrize(
        ("condition", "told"), [("", "names no thread_id"), ("WHERE thread_id = 'thread_none'", "thread_none")]
    )
    def test_a_missing_thread_is_told(self, database: Any, condition: str, told: str) -> None:
        answer = database.run_no_throw(f"SELECT * FROM messages {condition}")
        assert answer.startswith("Error: ")
        assert told in answer


class TestAutomap:
    @pytest.mark.parametrize("schema", _SCHEMAS)
    def test_classes(self, service: Service, engine: sa.engine.Engine, thread: str, schema: str | None) -> None:
        automap = pytest.importorskip("sqlalchemy.ext.automap")
        orm = pytest.importorskip("sqlalchemy.orm")
        base = automap.automap_base()
        with service.counting() as seen:
            base.prepare(autoload_with=engine, schema=schema)
        assert seen == []
        message = base.classes.messages
        with orm.Session(engine) as session:
            found = session.query(message).filter(message.thread_id == thread).order_by(message.created_at).all()
            assert [one.id for one in found] == [row[0] for row in _driver(service, _BY_TIME, thread)]
            assert found[0].metadata == {"k": "v"}
            assert session.get(message, (thread, found[3].id)) is found[3]
