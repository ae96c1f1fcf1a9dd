"""A pytest plugin that knows which ``messages://`` URL stands for a ``sqlite://`` one, and makes its engine instead."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.pool import SingletonThreadPool

_create_engine = sqlalchemy.create_engine
_made: list[str] = []


def _is_in_memory(url: URL) -> bool:
    return url.database in (None, "", ":memory:")


def _translated(url: URL) -> URL:
    """Keep the tables of a SQLite file in that file."""
    return URL.create("messages", query={} if _is_in_memory(url) else {"local": str(url.database)})


def _create(url: str | URL, **options: Any) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return _create_engine(url, **options)
    if _is_in_memory(parsed):
        # As SQLAlchemy does for SQLite: some tests of pandas 2 leave a connection open in a transaction.
        options.setdefault("poolclass", SingletonThreadPool)
    engine = _create_engine(_translated(parsed), **options)
    # The tests drop every table that is listed.
    engine.dialect.lists_service_tables = False  # type: ignore[attr-defined]
    _made.append(engine.dialect.name)
    return engine


def pytest_configure() -> None:
    """Put our engines in place; pandas and its tests look ``create_engine`` up when they need one."""
    sqlalchemy.create_engine = _create


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that never came by: it would have tested SQLite again."""
    if session.exitstatus == pytest.ExitCode.OK and "messages" not in _made:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many engines were ours."""
    terminalreporter.write_line(f"{_made.count('messages')} engines of messages://")
