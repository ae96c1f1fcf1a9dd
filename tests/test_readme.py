"""The README: its examples run, and its tables say what the declarations say."""

from __future__ import annotations

import ast
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages_dbapi import errors
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.options import OPTION_NAMES
from messages_dbapi.resources import MESSAGES, TRANSCRIPT, Resource
from messages_dbapi.sql import split

from .service import Service

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _table_rows(heading: str) -> list[list[str]]:
    """Give the cells of the table whose first line begins with ``heading``."""
    table = README.partition(f"| {heading} |")[2].split("\n\n")[0]
    lines = [line for line in table.split("\n")[2:] if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("source", _blocks("python"))
def test_python_examples_run(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block runs as it stands, in a fresh namespace and an empty folder, where its libraries are."""
    for library in re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    exec(compile(_beside(source, tmp_path), "README.md", "exec"), {})


def _beside(source: str, folder: Path) -> str:
    """Put a SQLite file with one customer into the place of the reader's own PostgreSQL."""
    crm = folder / "crm.db"
    with closing(sqlite3.connect(crm)) as connection:
        connection.execute("CREATE TABLE customers (thread_id TEXT, country TEXT)")
    return source.replace("postgresql+psycopg://localhost/crm", f"sqlite:///{crm}")


def test_the_endpoint_answers() -> None:
    """The example of FastAPI serves a thread, newest message first."""
    testclient = pytest.importorskip("fastapi.testclient")
    names: dict[str, Any] = {}
    exec(compile(next(source for source in _blocks("python") if "FastAPI()" in source), "README.md", "exec"), names)
    connection = names["engine"].raw_connection()
    thread = connection.cursor().execute("INSERT INTO threads DEFAULT VALUES").lastrowid
    insert = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)"
    connection.cursor().executemany(insert, [(thread, "Hello"), (thread, "Are you there?")])
    connection.close()
    answer = testclient.TestClient(names["app"]).get(f"/threads/{thread}?limit=1").json()
    assert [(row["role"], row["text"]) for row in answer] == [("user", "Are you there?")]


def test_sql_examples_run(service: Service) -> None:
    """Every SQL statement runs and does something."""
    service.thread_of([Draft(content="Where?", id="msg_parcel")], thread_id="thread_shop")
    service.store.add_thread(messages=[Draft(content="Train?")], metadata={"topic": "travel"})
    connection = service.connect()
    for statement in [statement for block in _blocks("sql") for statement in split(block)]:
        cursor = connection.execute(statement)
        assert cursor.rowcount == 1 or cursor.fetchall(), statement
    connection.close()


def test_explain_requests_says_what_the_table_says(service: Service) -> None:
    """The example of EXPLAIN REQUESTS gives these rows."""
    statement = next(block for block in _blocks("sql") if block.startswith("EXPLAIN REQUESTS"))
    with service.connect() as connection:
        cursor = connection.execute(statement)
        said = [["" if value is None else str(value) for value in row] for row in cursor]
        assert said == _table_rows(" | ".join(column[0] for column in cursor.description or ()))


@pytest.mark.parametrize(("heading", "resource"), [("column", MESSAGES), ("column of transcript", TRANSCRIPT)])
def test_columns_table_is_the_declaration(heading: str, resource: Resource) -> None:
    """Names, types and descriptions of the 14 columns, and of those of the transcript."""
    declared = [[f"`{field.name}`", field.type, field.description] for field in resource.fields]
    assert _table_rows(heading) == declared


def test_methods_table_is_the_declaration() -> None:
    """Names, verbs and required parameters of the five methods."""
    declared = [[f"`{m.name}`", m.verb, ", ".join(f"`{name}`" for name in m.required)] for m in MESSAGES.methods]
    assert _table_rows("method") == declared


def test_options_table_names_every_option() -> None:
    """No option is left out, none is invented."""
    named = [name for row in _table_rows("option") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(OPTION_NAMES)


def test_errors_table_names_every_class() -> None:
    """Every class that is raised is explained."""
    named = [row[0].strip("`") for row in _table_rows("class")]
    assert sorted(named) == sorted(cls.__name__ for cls in _leaves(errors.Error))


def test_superset_table_names_what_can_be_allowed() -> None:
    """As the spec itself explains it, which only an environment with Superset can import."""
    spec = Path(__file__).parents[1] / "sqlalchemy_messages" / "superset.py"
    explained = re.findall(r"^``(\w+)`` ", ast.get_docstring(ast.parse(spec.read_text(encoding="utf-8"))) or "", re.M)
    named = [name for row in _table_rows("name") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(explained)
    assert len(named) == 6


def _leaves(cls: type) -> list[type]:
    children: list[type] = cls.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [cls]
