"""Fixtures that all tests share: a service, and a connection to it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from messages_dbapi.connection import Connection

from .service import Service

Many = Callable[[int, int], int]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="do the thousands too, which takes many minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: a test that only runs with --long")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what was collected out of the later passes of the garbage collector, which thousands of tests make slow."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(pytest.mark.skip("long: run it with --long"))


@pytest.fixture
def many(request: pytest.FixtureRequest) -> Many:
    """Choose how often: the first number in an ordinary run, the second with --long."""
    long = bool(request.config.getoption("--long"))
    return lambda ordinary, thousands: thousands if long else ordinary


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
