"""What Superset knows of ``messages://``: its types and texts, how its SQL is parsed, and which URLs are refused.

Superset finds the class by its entry point. Who may add a database could otherwise read files of the
server and spend its key, so this is refused unless the administrator names it, with commas between, in
the environment variable ``MESSAGES_SUPERSET_ALLOW`` of every process of Superset:

``store``            an embedded service kept in a file, ``messages:///store.db``
``local``            the option ``local``, a file of local tables
``attach``           the options ``attach.NAME``, other SQLite files
``threads``          the option ``threads`` where it names a file
``allow_insecure``   the option ``allow_insecure``, plain http to another machine
``environment_key``  a service without a key of its own, which would get ``OPENAI_API_KEY``
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

from flask import current_app
from sqlalchemy import types
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.reflection import Inspector
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.tokens import TokenType
from superset.db_engine_specs.sqlite import SqliteEngineSpec
from superset.errors import SupersetErrorType
from superset.sql.parse import SQLGLOT_DIALECTS, LimitMethod
from superset.utils import json
from superset.utils.core import GenericDataType

import messages_dbapi
from messages_dbapi.resources import RESOURCES, SCHEMA, SHORT_SCHEMA

if TYPE_CHECKING:
    from superset.connectors.sqla.models import TableColumn
    from superset.models.core import Database

_TABLES = {resource.name: resource for resource in RESOURCES}
_SPELLINGS = (SCHEMA, SHORT_SCHEMA, "")


class Messages(SQLite):
    """SQLite's SQL for sqlglot, by which Superset parses and rewrites every text."""

    class Tokenizer(SQLite.Tokenizer):
        """Leave REPLACE to the parser: as a mere command it would pass for a text that changes nothing."""

        COMMANDS = SQLite.Tokenizer.COMMANDS - {TokenType.REPLACE}

    class Parser(SQLite.Parser):
        """Keep json_extract, of which sqlglot makes ``->``, whose text is quoted; and name tables in one way."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {
            name: build for name, build in SQLite.Parser.FUNCTIONS.items() if not name.startswith("JSON_EXTRACT")
        }
        STATEMENT_PARSERS: ClassVar[dict[TokenType, Any]] = SQLite.Parser.STATEMENT_PARSERS | {
            TokenType.REPLACE: lambda self: _parse_replace(self)
        }

        def parse(self, raw_tokens: list[Any], sql: str | None = None) -> list[exp.Expression | None]:
            """Parse a text, and give the service's tables the schema under which Superset keeps its rules for them."""
            statements: list[exp.Expression | None] = super().parse(raw_tokens, sql)
            if not any(statements):
                # Only comments: Superset expects a statement in every text.
                return [exp.Semicolon()]
            for statement in filter(None, statements):
                for table in statement.find_all(exp.Table):
                    _qualify(table)
            return statements

    def to_json_path(self, path: exp.Expression | None) -> exp.Expression | None:
        """Keep what stands after ``->`` and ``->>``: a name without ``$`` is one key to SQLite, dots and all."""
        return path


def _parse_replace(parser: Any) -> exp.Expression:
    insert: exp.Expression = parser._parse_insert()
    insert.set("alternative", "REPLACE")
    return insert


def _qualify(table: exp.Table) -> None:
    schema = f"{table.catalog}.{table.db}" if table.catalog else table.db
    name = table.name.lower()
    if name not in _TABLES or schema.lower() not in _SPELLINGS or (not schema and _is_common(table, name)):
        return
    table.set("catalog", None)
    table.set("db", exp.to_identifier(SCHEMA, quoted=True))
    table.set("this", exp.to_identifier(name))


def _is_common(table: exp.Table, name: str) -> bool:
    """Tell whether the name is that of a common table expression around the table."""
    node = table.parent
    while node is not None:
        clause = node.args.get("with_")
        if clause is not None and any(cte.alias.lower() == name for cte in clause.expressions):
            return True
        node = node.parent
    return False


SQLGLOT_DIALECTS["messages"] = Messages


class MessagesEngineSpec(SqliteEngineSpec):
    """Superset's view of the dialect."""

    engine = "messages"
    engine_name = "Messages"
    drivers: ClassVar[dict[str, str]] = {
        "https": "Messages over https, or embedded",
        "http": "Messages over http on this machine",
    }
    default_driver = "https"
    sqlalchemy_uri_placeholder = "messages://:KEY@host/v1?thread_id=thread_…"
    supports_file_upload = False
    # Rows stream, so no more need be read than are shown; any LIMIT that Superset writes would replace the user's.
    limit_method = LimitMethod.FETCH_MANY
    disable_ssh_tunneling = True
    column_type_mappings = ((re.compile(r"^json", re.IGNORECASE), types.String(), GenericDataType.STRING),)
    custom_errors = SqliteEngineSpec.custom_errors | {
        re.compile("SELECT from [a-z]+ names no thread_id"): (
            "Say which threads to read: put them into the URL of the database, "
            "as in messages://:KEY@host/v1?thread_id=thread_…&thread_id=thread_…, "
            "or write WHERE thread_id = 'thread_…' (in a chart: a filter on thread_id).",
            SupersetErrorType.GENERIC_DB_ENGINE_ERROR,
            {},
        ),
        re.compile("(?P<method>UPDATE|DELETE) of [a-z]+ names no thread_id"): (
            "Say in which threads: write WHERE thread_id = 'thread_…'. "
            "Those in the URL of the database do not count for %(method)s.",
            SupersetErrorType.GENERIC_DB_ENGINE_ERROR,
            {},
        ),
    }

    @classmethod
    def fetch_data(cls, cursor: Any, limit: int | None = None) -> list[tuple[Any, ...]]:
        """Give the rows; none of a statement that has no result, which Superset fetches all the same."""
        rows: list[tuple[Any, ...]] = super().fetch_data(cursor, limit) if cursor.description else []
        return rows

    @classmethod
    def get_table_names(cls, database: Database, inspector: Inspector, schema: str | None) -> set[str]:
        """List the tables of a schema, which the spec of SQLite leaves out of account."""
        names: set[str] = super(SqliteEngineSpec, cls).get_table_names(database, inspector, schema)
        return names

    @classmethod
    def alter_new_orm_column(cls, orm_col: TableColumn) -> None:
        """Make the time of the service's table, where it is in Unix seconds, the time column of a new dataset."""
        resource = _TABLES.get(orm_col.table.table_name) if orm_col.table.schema == SCHEMA else None
        if resource is not None and orm_col.column_name == resource.time and orm_col.type == "BIGINT":
            orm_col.is_dttm = True
            orm_col.python_date_format = "epoch_s"

    @staticmethod
    def mutate_db_for_connection_test(database: Database) -> None:
        """Ask the service itself, in the time that Superset gives a test: an engine's ping makes no request."""
        extra = json.loads(database.extra or "{}")
        seconds = current_app.config["TEST_DATABASE_CONNECTION_TIMEOUT"].total_seconds()
        extra.setdefault("engine_params", {}).setdefault("connect_args", {}).setdefault("deadline", seconds)
        database.extra = json.dumps(extra)
        with database.get_sqla_engine() as engine, closing(engine.raw_connection()) as connection:
            connection.driver_connection.check()

    @classmethod
    def validate_database_uri(cls, sqlalchemy_uri: URL) -> None:
        """Refuse a URL that leads to the server's files or key; raise ValueError, whose text Superset shows."""
        super().validate_database_uri(sqlalchemy_uri)
        _validate(sqlalchemy_uri, {})

    @staticmethod
    def update_params_from_encrypted_extra(database: Database, params: dict[str, Any]) -> None:
        """Complete the arguments of the engine, and refuse what they add to the URL: this is the last look at them."""
        SqliteEngineSpec.update_params_from_encrypted_extra(database, params)
        _validate(make_url(database.sqlalchemy_uri_decrypted), params.get("connect_args") or {})


def _validate(url: URL, arguments: Mapping[str, Any]) -> None:
    # As the dialect itself will write it for the driver, so that both read the same.
    (text,), from_url = url.get_dialect()().create_connect_args(url)
    given = {**from_url, **arguments}
    try:
        options = messages_dbapi.resolve(text, given, os.environ)
        own = messages_dbapi.resolve(
            text, given, {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
        )
    finally:
        # A traceback may be shown with its variables.
        del text, from_url, given, arguments
    refused = _risks(options, options.api_key != own.api_key) - _allowed()
    if refused:
        names = ", ".join(sorted(refused))
        raise ValueError(
            f"For reasons of security a database may not use: {names}. "
            "The administrator of Superset can allow it in the environment variable MESSAGES_SUPERSET_ALLOW."
        )


def _risks(options: messages_dbapi.Options, environment_key: bool) -> set[str]:
    further = {"allow_insecure": options.allow_insecure, "environment_key": environment_key}
    return {*options.files, *(name for name, is_there in further.items() if is_there)}


def _allowed() -> set[str]:
    return {name.strip() for name in os.environ.get("MESSAGES_SUPERSET_ALLOW", "").split(",")}
