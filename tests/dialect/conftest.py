"""Engines on one service, over a socket and in process, that are closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from ..service import Service

Engines = Callable[..., Engine]


@pytest.fixture
def engines() -> Iterator[Engines]:
    """Make engines, in the style of SQLAlchemy 2 on every version."""
    made: list[Engine] = []

    def make(url: str, **options: Any) -> Engine:
        made.append(create_engine(url, future=True, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def url(service: Service) -> str:
    """Give the URL of the service."""
    return service.base_url.replace("http://", "messages+http://", 1)


@pytest.fixture
def engine(engines: Engines, url: str) -> Engine:
    """Give an engine on the service, over a socket."""
    return engines(url)


@pytest.fixture
def thread(service: Service) -> str:
    """Give a thread of 101 messages, so that it takes two pages."""
    return service.thread(101)
