"""SQLAlchemy Core on the service's tables: types, JSON paths, writes with RETURNING, streaming."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from sqlalchemy import BigInteger, String, bindparam, delete, exc, func, insert, literal, select, text, update
from sqlalchemy.engine import Engine

import messages_dbapi
import sqlalchemy_messages
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.store import Page
from messages_dbapi.resources import MESSAGES, RESOURCES, THREADS
from sqlalchemy_messages import JSON, messages, threads, transcript

from ..service import Service
from .conftest import Engines

c = messages.c
PARTS = [{"type": "text", "text": {"value": "hello", "annotations": []}}]


def written(service: Service) -> int:
    """Count the requests that were no reads."""
    return sum(seen.method != "GET" for seen in service.seen)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_tables_are_the_declaration(resource: Any) -> None:
    """Names, order, comments, nullability and types; content_text besides."""
    table = getattr(sqlalchemy_messages, resource.name)
    declared = [(field.name, field.nullable, field.description) for field in resource.fields]
    found = [(column.name, column.nullable, column.comment) for column in table.columns]
    assert found[: len(declared)] == declared
    assert [name for name, _, _ in found[len(declared) :]] == (["content_text"] if resource is MESSAGES else [])
    assert (table.schema, table.comment) == ("openai.assistants", resource.description)
    kinds = {"string": String, "integer": BigInteger, "array": JSON, "object": JSON}
    for field in resource.fields:
        if field.type in kinds:
            assert type(table.columns[field.name].type) is kinds[field.type], field.name
    assert [column.name for column in table.primary_key] == (["id"] if resource is THREADS else ["thread_id", "id"])


@pytest.mark.parametrize("kind", [c.content.type, transcript.c.created.type], ids=repr)
def test_types_can_be_copied(engine: Engine, kind: Any) -> None:
    """As Superset, Alembic and to_metadata do."""
    copies = [kind.copy(), kind.adapt(type(kind)), pickle.loads(pickle.dumps(kind)), kind.dialect_impl(engine.dialect)]
    assert [type(copy) for copy in copies] == [type(kind)] * 4
    assert {copy.compile(engine.dialect) for copy in copies} == {kind.compile(engine.dialect)}


def test_values_have_their_types(service: Service, engine: Engine) -> None:
    """Lists and dicts for JSON, int, str, and None."""
    thread = service.thread_of([Draft(content="hello", metadata={"k": "v"}, id="m", created_at=7)])
    with engine.connect() as connection:
        row = connection.execute(select(messages).where(c.thread_id == thread)).one()
    assert row.content == PARTS
    assert row.metadata == {"k": "v"}
    assert (row.id, row.created_at, row.content_text, row.run_id) == ("m", 7, "hello", None)
    assert row.attachments == []


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        ("a text", "a text"),
        ("[]", "[]"),
        ('{"a": 1}', '{"a": 1}'),
        ("{{ x }}\n'\"\\ é 🎉", "{{ x }}\n'\"\\ é 🎉"),
        ([{"type": "text", "text": "parts"}], "parts"),
        (PARTS, "hello"),
    ],
)
def test_content_goes_as_text_or_parts(service: Service, engine: Engine, sent: Any, came: str) -> None:
    """A str as that text, a list as its parts, bound or written into the statement."""
    thread = service.thread()
    with engine.begin() as connection:
        connection.execute(insert(messages), {"thread_id": thread, "role": "user", "content": sent})
        values = {"thread_id": literal(thread), "role": literal("user"), "content": literal(sent, JSON())}
        statement = insert(messages).values(**values)
        compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})
        connection.exec_driver_sql(str(compiled))
        rows = connection.execute(select(c.content_text).where(c.thread_id == thread)).scalars().all()
    assert rows == [came, came]


def test_a_list_that_is_no_parts_is_refused(service: Service, engine: Engine) -> None:
    """It was meant as parts, so it is not sent as a text."""
    thread = service.thread()
    with engine.connect() as connection, pytest.raises(exc.DataError):
        connection.execute(insert(messages), {"thread_id": thread, "role": "user", "content": ["no part"]})
    assert written(service) == 0


def test_a_json_null_is_nothing(service: Service, engine: Engine) -> None:
    """SQLAlchemy's symbol for it is a number underneath, which must not be sent."""
    thread = service.thread(1)
    with engine.begin() as connection:
        with pytest.raises(exc.IntegrityError, match="content"):
            connection.execute(insert(messages).values(thread_id=thread, role="user", content=JSON.NULL))
        assert written(service) == 0
        connection.execute(update(messages).where(c.thread_id == thread).values(metadata={"a": "b"}))
        connection.execute(update(messages).where(c.thread_id == thread).values(metadata=JSON.NULL))
        assert connection.execute(select(c.metadata).where(c.thread_id == thread)).scalars().all() == [{}]
    written_out = select(literal(JSON.NULL, JSON())).compile(engine, compile_kwargs={"literal_binds": True})
    assert "SELECT NULL" in str(written_out)


def test_a_condition_on_a_document_can_be_written_out(service: Service, engine: Engine) -> None:
    """As a text that runs."""
    thread = service.thread_of([Draft(content="1", metadata={"it's": "é"}), Draft(content="2")])
    statement = select(c.content_text).where(c.thread_id == thread, c.metadata == {"it's": "é"})
    compiled = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.connect() as connection:
        assert connection.exec_driver_sql(compiled).fetchall() == [("1",)]


def test_regular_expressions(engine: Engine, thread: str) -> None:
    """SQLAlchemy's operators are the driver's functions."""
    replaced = c.content_text.regexp_replace("message ([0-9]+)", "$1!")
    with engine.connect() as connection:
        found = select(replaced).where(c.thread_id == thread, c.content_text.regexp_match("9[89]$"))
        assert connection.execute(found).scalars().all() == ["98!", "99!"]


def test_json_in_conditions(service: Service, engine: Engine) -> None:
    """Paths, typed comparison, whole documents whatever the order of keys, NULL."""
    metadata: list[dict[str, str]] = [{"k": "v", "n": "5"}, {"k": "w"}, {}]
    thread = service.thread_of([Draft(content=str(n), metadata=entry) for n, entry in enumerate(metadata)])
    conditions = {
        "path": (c.metadata["k"].as_string() == "v", ["0"]),
        "path as number": (c.metadata["n"].as_integer() > 4, ["0"]),
        "nested path": (c.content[(0, "text", "value")].as_string() == "2", ["2"]),
        "IN": (c.metadata["k"].as_string().in_(["v", "w"]), ["0", "1"]),
        "equal": (c.metadata == {"n": "5", "k": "v"}, ["0"]),
        "not equal": (c.metadata != {"n": "5", "k": "v"}, ["1", "2"]),
        "empty": (c.metadata == {}, ["2"]),
        "none": (c.incomplete_details.is_(None), ["0", "1", "2"]),
        "== None": (c.incomplete_details == None, ["0", "1", "2"]),  # noqa: E711  # SQLAlchemy's IS NULL
        "function": (func.json_array_length(c.content) == 1, ["0", "1", "2"]),
        "regular expression": (c.content_text.regexp_match("[12]"), ["1", "2"]),
    }
    with engine.connect() as connection:
        for name, (condition, expected) in conditions.items():
            rows = connection.execute(select(c.content_text).where(c.thread_id == thread, condition)).scalars().all()
            assert rows == expected, name
        values = connection.execute(select(c.metadata["k"].as_string()).where(c.thread_id == thread)).scalars().all()
    assert values == ["v", "w", None]


def test_insert_gives_what_the_service_filled(service: Service, engine: Engine) -> None:
    """One request each; the key is there, and what RETURNING names."""
    thread = service.thread()
    with service.counting() as seen, engine.begin() as connection:
        result = connection.execute(insert(messages).values(thread_id=thread, role="user", content="x"))
        key: Any = result.inserted_primary_key
        returning = insert(messages).values(thread_id=thread, role="user", content="y", metadata={"a": "b"})
        row = connection.execute(returning.returning(c.id, c.created_at, c.status, c.metadata, c.content_text)).one()
    assert [request.method for request in seen] == ["POST", "POST"]
    stored = service.store.messages(thread, Page(ascending=True)).rows
    assert key[0] == thread
    assert [key[1], row.id] == [message.id for message in stored]
    assert (row.status, row.metadata, row.content_text) == ("completed", {"a": "b"}, "y")


def test_insert_many(service: Service, engine: Engine) -> None:
    """A request each, in order, over several threads; with RETURNING where the version has it for many."""
    one, two = service.thread(), service.thread()
    rows = [{"thread_id": (one, two)[n % 2], "role": "user", "content": f"{n}"} for n in range(20)]
    with service.counting() as seen, engine.begin() as connection:
        assert connection.execute(insert(messages), rows).rowcount in (20, -1)
        found = connection.execute(select(c.content_text).where(c.thread_id == two)).scalars().all()
    assert found == [f"{n}" for n in range(1, 20, 2)]
    assert [request.method for request in seen] == ["POST"] * 20 + ["GET"]


def test_insert_many_with_returning(service: Service, engine: Engine) -> None:
    """Rows come back in the order they were given, if that is asked for."""
    if not hasattr(engine.dialect, "insert_executemany_returning"):
        pytest.skip("SQLAlchemy 1.4 has no RETURNING for many rows")
    if not engine.dialect.insert_executemany_returning:
        pytest.skip("SQLAlchemy 1.4 has no RETURNING for many rows")
    thread = service.thread()
    rows = [{"thread_id": thread, "role": "user", "content": f"{n}"} for n in range(20)]
    statement = insert(messages).returning(c.content_text, sort_by_parameter_order=True)
    with engine.begin() as connection:
        found = connection.execute(statement, rows).scalars().all()
    assert found == [f"{n}" for n in range(20)]


def test_insert_from_select(service: Service, engine: Engine) -> None:
    """What was read from one thread goes into another."""
    source = service.thread(3)
    target = service.thread()
    chosen = select(literal(target), c.role, c.content).where(c.thread_id == source)
    with engine.begin() as connection:
        connection.execute(insert(messages).from_select(["thread_id", "role", "content"], chosen))
        found = connection.execute(select(c.content_text).where(c.thread_id == target)).scalars().all()
    assert found == ["message 0", "message 1", "message 2"]


def test_insert_of_a_thread(engine: Engine) -> None:
    """Nothing is needed to make one."""
    with engine.begin() as connection:
        key = connection.execute(insert(threads)).inserted_primary_key
        assert connection.execute(select(threads.c.id)).scalars().all() == list(key or ())


def test_update_and_delete_count_rows(service: Service, engine: Engine) -> None:
    """By key one request each; by condition the listing and one for each row."""
    thread = service.thread(5)
    with engine.begin() as connection:
        ids = connection.execute(select(c.id).where(c.thread_id == thread)).scalars().all()
        key = (c.thread_id == thread) & (c.id == ids[0])
        with service.counting() as seen:
            assert connection.execute(update(messages).where(key).values(metadata={"a": "b"})).rowcount == 1
            assert connection.execute(delete(messages).where(key)).rowcount == 1
            assert connection.execute(delete(messages).where(key)).rowcount == 0
        assert [request.method for request in seen] == ["POST", "DELETE", "DELETE"]
        newer = (c.thread_id == thread) & (c.content_text > "message 2")
        assert connection.execute(update(messages).where(newer).values(metadata={"new": "1"})).rowcount == 2
        tagged = (c.thread_id == thread) & (c.metadata["new"].as_string() == "1")
        assert connection.execute(delete(messages).where(tagged)).rowcount == 2
        left = connection.execute(select(c.id).where(c.thread_id == thread)).scalars().all()
    assert left == ids[1:3]


def test_update_of_many_by_key(service: Service, engine: Engine) -> None:
    """A list of parameters is counted as one statement."""
    thread = service.thread(3)
    with engine.begin() as connection:
        ids = connection.execute(select(c.id).where(c.thread_id == thread)).scalars().all()
        key = (c.thread_id == thread) & (c.id == bindparam("key"))
        statement = update(messages).where(key).values(metadata=bindparam("labels"))
        result = connection.execute(statement, [{"key": key, "labels": {"n": key}} for key in [*ids, "nobody"]])
        assert result.rowcount == 3
        found = connection.execute(select(c.metadata).where(c.thread_id == thread)).scalars().all()
    assert found == [{"n": key} for key in ids]


@pytest.mark.parametrize("column", ["role", "content", "created_at", "status", "thread_id", "object"])
def test_a_column_that_cannot_be_written(service: Service, engine: Engine, column: str) -> None:
    """Refused before anything is sent."""
    thread = service.thread(1)
    with engine.connect() as connection, pytest.raises(exc.NotSupportedError, match="cannot be written"):
        connection.execute(update(messages).where(c.thread_id == thread).values({column: "1"}))
    assert service.seen == []


def test_text_has_the_names_of_the_contract(engine: Engine, thread: str) -> None:
    """All spellings, with parameters by name."""
    for name in ("openai.assistants.messages", '"openai.assistants".messages', "assistants.messages", "messages"):
        statement = text(f"/*+ read */ SELECT count(*) FROM {name} WHERE thread_id = :thread")
        with engine.connect() as connection:
            assert connection.execute(statement, {"thread": thread}).scalar() == 101


def test_rows_stream(service: Service, engine: Engine, thread: str) -> None:
    """The second page is requested when a row of it is needed."""
    with service.counting() as seen, engine.connect() as connection:
        result = connection.execute(select(c.id).where(c.thread_id == thread))
        result.fetchmany(100)
        assert len(seen) == 1
        result.fetchmany(1)
        assert len(seen) == 2
        chunks = connection.execution_options(stream_results=True).execute(select(c.id).where(c.thread_id == thread))
        assert [len(chunk) for chunk in chunks.partitions(60)] == [60, 41]


def test_statements_are_cached(engine: Engine, thread: str) -> None:
    """The same shape is compiled once."""
    cached: list[Any] = []
    with engine.connect() as connection:
        for n in range(3):
            result = connection.execute(select(c.id).where(c.thread_id == thread, c.created_at > n))
            cached.append(result.context.cache_hit.name)
            result.close()
    assert cached == ["CACHE_MISS", "CACHE_HIT", "CACHE_HIT"]


def test_a_real_join(service: Service, engines: Engines, url: str) -> None:
    """Service and local tables in one statement, through Core."""
    thread = service.thread(3)
    with messages_dbapi.connect(url) as plain:
        plain.execute("CREATE TABLE tickets (thread TEXT, number INTEGER)")
    engine = engines(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tickets (thread TEXT, number INTEGER)"))
        connection.execute(text("INSERT INTO tickets VALUES (:t, 4711)"), {"t": thread})
        statement = text(
            "SELECT number, count(*) FROM tickets JOIN openai.assistants.messages ON thread_id = thread GROUP BY number"
        )
        assert connection.execute(statement).fetchall() == [(4711, 3)]
