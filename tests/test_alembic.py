"""Alembic migrates the local tables as on SQLite, and leaves the service's alone, whatever the metadata says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from messages_dbapi.resources import RESOURCES, SCHEMA, SHORT_SCHEMA

_SERVICE = (SCHEMA, SHORT_SCHEMA, *(resource.name for resource in RESOURCES))


class Migrations:
    """What ``alembic init`` makes, for one file of local tables, with the metadata and the settings of a test."""

    def __init__(self, folder: Path) -> None:
        self.url = f"messages://?local={(folder / 'local.db').as_posix()}"
        self._config = Config(str(folder / "alembic.ini"), stdout=sys.stderr)
        command.init(self._config, str(folder / "migrations"))
        self._config.set_main_option("sqlalchemy.url", self.url)
        self._config.set_main_option("script_location", (folder / "migrations").as_posix())
        _edit(folder / "migrations" / "env.py")
        self.use(sa.MetaData())

    def use(self, metadata: sa.MetaData, **settings: Any) -> None:
        """Compare with this metadata from now on, with more settings of ``context.configure``."""
        self._config.attributes.update(metadata=metadata, settings=settings)

    def revise(self) -> str:
        """Generate a revision, and give its text."""
        script: Any = command.revision(self._config, autogenerate=True)
        return Path(script.path).read_text(encoding="utf-8")

    def upgrade(self) -> None:
        """Migrate to the newest revision, after which nothing is left to be generated."""
        command.upgrade(self._config, "head")
        self.check()

    def check(self) -> None:
        """Raise CommandError where a new revision would do anything."""
        command.check(self._config)

    def downgrade(self) -> None:
        """Undo every revision."""
        command.downgrade(self._config, "base")

    def ask(self, question: Callable[[sa.engine.Connection], Any]) -> Any:
        """Ask about the file."""
        engine = sa.create_engine(self.url, future=True, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            return question(connection)

    @property
    def tables(self) -> set[str]:
        """Name the local tables, without Alembic's own."""
        names: set[str] = self.ask(lambda connection: set(sa.inspect(connection).get_table_names("main")))
        return names - {"alembic_version"}


def _edit(env: Path) -> None:
    text = env.read_text(encoding="utf-8")
    for old, new in (
        ("target_metadata = None", 'target_metadata = config.attributes["metadata"]'),
        ("target_metadata=target_metadata", 'target_metadata=target_metadata, **config.attributes["settings"]'),
        # It would silence the loggers of other tests.
        ("    fileConfig(config.config_file_name)", "    pass"),
    ):
        assert old in text
        text = text.replace(old, new)
    env.write_text(text, encoding="utf-8")


@pytest.fixture
def migrations(tmp_path: Path) -> Migrations:
    """Give a new environment."""
    return Migrations(tmp_path)


def _local(metadata: sa.MetaData, schema: str | None = None) -> sa.MetaData:
    sa.Table(
        "notes",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("message_id", sa.String(64), nullable=False, index=True),
        sa.Column("note", sa.Text),
        schema=schema,
    )
    return metadata


def _reflected(schema: str | None) -> sa.MetaData:
    """Give what an application has that reflects the service's tables."""
    metadata = sa.MetaData()
    engine = sa.create_engine("messages://", future=True)
    metadata.reflect(engine, schema=schema)
    engine.dispose()
    return metadata


def _declared(schema: str | None) -> sa.MetaData:
    """Give what an application has that declares of the service's tables what it uses, and more than there is."""
    metadata = sa.MetaData()
    for resource in RESOURCES:
        key = sa.Column("id", sa.String(20), primary_key=True)
        sa.Table(resource.name, metadata, key, sa.Column("more", sa.Integer, index=True), schema=schema)
    return metadata


def _absent(_schema: str | None) -> sa.MetaData:
    return sa.MetaData()


@pytest.mark.parametrize("schemas", [False, True], ids=["one schema", "every schema"])
@pytest.mark.parametrize("schema", [None, "openai.assistants", "assistants"])
@pytest.mark.parametrize("others", [_absent, _reflected, _declared])
def test_local_tables_are_migrated_and_no_others(
    migrations: Migrations, others: Callable[[str | None], sa.MetaData], schema: str | None, schemas: bool
) -> None:
    metadata = _local(others(schema))
    migrations.use(metadata, include_schemas=schemas)
    text = migrations.revise()
    assert "op.create_table('notes'," in text
    assert "op.create_index(op.f('ix_notes_message_id'), 'notes'" in text
    assert not [name for name in _SERVICE if f"'{name}" in text]
    migrations.upgrade()
    assert migrations.tables == {"notes"}

    metadata.tables["notes"].append_column(sa.Column("stars", sa.Integer))
    text = migrations.revise()
    assert text.count("op.add_column(") == text.count("op.drop_column(") == 1
    migrations.upgrade()

    migrations.downgrade()
    assert migrations.tables == set()
    with pytest.raises(CommandError, match="not up to date"):
        migrations.check()


@pytest.mark.parametrize("schemas", [False, True], ids=["one schema", "every schema"])
def test_what_is_gone_from_the_metadata_is_dropped(migrations: Migrations, schemas: bool) -> None:
    migrations.use(_local(sa.MetaData()), include_schemas=schemas)
    migrations.revise()
    migrations.upgrade()
    migrations.use(sa.MetaData(), include_schemas=schemas)
    text = migrations.revise()
    assert text.count("op.drop_table(") == 1
    migrations.upgrade()
    assert migrations.tables == set()


@pytest.mark.parametrize("schemas", [False, True], ids=["one schema", "every schema"])
@pytest.mark.parametrize("versions", [None, "main"])
def test_tables_may_name_the_schema_main(migrations: Migrations, schemas: bool, versions: str | None) -> None:
    metadata = _local(_declared("openai.assistants"), schema="main")
    sa.Table("tags", metadata, sa.Column("tag", sa.String, primary_key=True))
    migrations.use(metadata, include_schemas=schemas, version_table_schema=versions)
    text = migrations.revise()
    assert text.count("op.create_table(") == 2
    assert "schema='main'" in text
    migrations.upgrade()
    assert migrations.tables == {"notes", "tags"}
    migrations.downgrade()
    assert migrations.tables == set()


def test_batches_copy_a_table(migrations: Migrations) -> None:
    metadata = _local(sa.MetaData())
    migrations.use(metadata, render_as_batch=True)
    migrations.revise()
    migrations.upgrade()

    def fill(connection: sa.engine.Connection) -> None:
        connection.execute(metadata.tables["notes"].insert(), {"message_id": "msg_1", "note": "keep"})
        connection.commit()

    migrations.ask(fill)
    changed = sa.MetaData()
    sa.Table(
        "notes",
        changed,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.UniqueConstraint("note", name="once"),
    )
    migrations.use(changed, render_as_batch=True)
    assert "with op.batch_alter_table('notes'" in migrations.revise()
    migrations.upgrade()
    rows = migrations.ask(lambda connection: connection.execute(sa.text("SELECT * FROM notes")).fetchall())
    assert [tuple(row) for row in rows] == [(1, "keep")]


def test_filters_of_ones_own_still_count(migrations: Migrations) -> None:
    metadata = _local(_declared("openai.assistants"))
    sa.Table("mine", metadata, sa.Column("id", sa.Integer, primary_key=True))
    migrations.use(metadata, include_object=lambda item, name, *rest: name != "mine")
    text = migrations.revise()
    assert "'notes'" in text
    assert "'mine'" not in text


@pytest.mark.parametrize(
    "steps",
    [
        ["import alembic.command", "engine = create_engine('messages://')"],
        ["import sqlalchemy_messages.alembic", "engine = create_engine('messages://')"],
        ["engine = create_engine('messages://')", "import alembic.command"],
    ],
    ids=["Alembic first", "by hand", "engine first"],
)
def test_alembic_knows_the_dialect(steps: list[str]) -> None:
    script = [
        "from sqlalchemy import create_engine",
        *steps,
        "from alembic.migration import MigrationContext",
        "connection = engine.connect()",
        "assert MigrationContext.configure(connection).impl.__dialect__ == 'messages'",
        "connection.close()",
        "engine.dispose()",
    ]
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(script)], check=True)
