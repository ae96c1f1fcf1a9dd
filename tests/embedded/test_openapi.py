"""The service under schemathesis: what the OpenAPI document makes a fuzzer think of, with all of its checks.

Schemathesis is large and no part of the test extra: the matrix installs it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.errors import FlakyStrategyDefinition

from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.server import Server
from messages_dbapi.embedded.store import Draft, Store

from ..conftest import Many
from .conftest import BETA
from .contract import DOCUMENT, strict_contract

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
if not DOCUMENT.exists():
    pytest.skip("the OpenAPI document is not here", allow_module_level=True)

KEY = "sk-of-the-test"
HEADERS = {**BETA, "Authorization": f"Bearer {KEY}"}
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck))

schema = schemathesis.openapi.from_dict(strict_contract())


class Site:
    """A service with a key."""

    def __init__(self, store: Store, server: Server) -> None:
        self._store = store
        self.base_url = server.base_url

    def known(self) -> dict[str, str]:
        """Give the ids of a thread and a message that are there."""
        thread = self._store.add_thread(messages=[Draft(content=str(number)) for number in range(3)]).id
        return {"thread_id": thread, "message_id": self._store.add_message(thread, Draft(content="x")).id}

    def check(self, case: Any) -> None:
        """Send a case, every second time with ids that are there, and check the answer."""
        # Not those without the headers that are sent here with every case.
        if any(where == "header" and part.mode.is_negative for where, part in case.meta.components.items()):
            return
        if case.path_parameters and zlib.crc32(repr(case.path_parameters).encode()) % 2:
            known = self.known()
            case.path_parameters = {name: known[name] for name in case.path_parameters}
        _drop_cursors(case)
        case.call_and_validate(base_url=self.base_url, headers=HEADERS)


def _drop_cursors(case: Any) -> None:
    # No schema can say that a cursor is to be an id of this list: others are refused.
    if case.query and case.meta.generation.mode.is_positive:
        case.query = {name: value for name, value in case.query.items() if name not in ("after", "before")}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Give the service."""
    with Store() as store, Server(Application(store, KEY)) as server:
        yield Site(store, server)


@schema.parametrize()  # type: ignore[untyped-decorator]  # Any, as all of schemathesis here
@settings(SETTINGS, max_examples=20)
def test_each_operation(case: Any, site: Site) -> None:
    site.check(case)


@pytest.mark.long
@schema.parametrize()  # type: ignore[untyped-decorator]  # as above
@settings(SETTINGS, max_examples=500)
def test_each_operation_at_length(case: Any, site: Site) -> None:
    site.check(case)


def test_operations_in_a_row(site: Site, many: Many) -> None:
    """With the ids that the earlier ones gave."""

    class Machine(schema.as_state_machine()):  # type: ignore[misc]  # as above
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": site.base_url, "headers": HEADERS}

        def before_call(self, case: Any) -> None:
            _drop_cursors(case)

    for _ in range(many(1, 25)):
        # What schemathesis generates depends now and then on what it did before, which hypothesis forbids.
        with suppress(FlakyStrategyDefinition):
            Machine.run(settings=settings(SETTINGS, max_examples=20, stateful_step_count=8))
