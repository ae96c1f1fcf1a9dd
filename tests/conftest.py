"""Fixtures that all tests share: a service, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from messages_dbapi.connection import Connection

from .service import Service


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the variables of whoever runs the tests out of them."""
    for name in ("MESSAGES_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service() -> Iterator[Service]:
    """Give an empty service."""
    service = Service()
    yield service
    service.close()


@pytest.fixture(params=["in process", "over http"])
def connection(service: Service, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Give a connection to the service, in process and over a socket in turn."""
    connect = service.connect if request.param == "in process" else service.connect_over_http
    with connect() as connection:
        yield connection


@pytest.fixture
def alone(service: Service) -> Iterator[Connection]:
    """Give a connection for what has nothing to do with the service."""
    with service.connect() as connection:
        yield connection
