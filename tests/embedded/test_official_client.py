"""The official client, unchanged, against the service on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.serve import Server
from messages_dbapi.embedded.store import Draft, Store

from .contract import Held

KEY = "sk-test"

# The client marks these resources as deprecated, because OpenAI has ended its own service of them.
pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")


@pytest.fixture
def base_url(store: Store) -> Iterator[str]:
    """Serve the store with a key, each answer held against the contract."""
    held = Held(Application(store, KEY))
    with Server(held) as server:
        yield server.base_url
    assert held.answers
    assert held.faults == []


@pytest.fixture
def threads(base_url: str) -> Iterator[Any]:
    """Give the client's threads."""
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        yield client.beta.threads


def test_the_life_of_a_thread(threads: Any) -> None:
    created = threads.create(
        messages=[{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
        metadata={"a": "b"},
        tool_resources={"code_interpreter": {"file_ids": ["file_1"]}},
    )
    assert (created.object, created.metadata) == ("thread", {"a": "b"})
    assert created.tool_resources.code_interpreter.file_ids == ["file_1"]
    assert threads.retrieve(created.id) == created
    assert threads.update(created.id, metadata={"c": "d"}).metadata == {"c": "d"}
    assert [message.role for message in threads.messages.list(created.id, order="asc")] == ["user", "assistant"]
    deleted = threads.delete(created.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (created.id, True, "thread.deleted")
    with pytest.raises(openai.NotFoundError, match=f"No thread found with id '{created.id}'"):
        threads.retrieve(created.id)
    assert threads.create().metadata == {}


def test_the_life_of_a_message(threads: Any) -> None:
    thread = threads.create().id
    created = threads.messages.create(
        thread,
        role="user",
        content=[
            {"type": "text", "text": "look 😀"},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
            {"type": "image_file", "image_file": {"file_id": "file_2"}},
        ],
        attachments=[{"file_id": "file_1", "tools": [{"type": "file_search"}]}],
        metadata={"a": "b"},
    )
    assert created.content[0].text.value == "look 😀"
    assert [part.type for part in created.content] == ["text", "image_url", "image_file"]
    assert (created.status, created.thread_id, created.attachments[0].file_id) == ("completed", thread, "file_1")
    assert threads.messages.retrieve(created.id, thread_id=thread) == created
    assert threads.messages.update(created.id, thread_id=thread, metadata={"c": "d"}).metadata == {"c": "d"}
    deleted = threads.messages.delete(created.id, thread_id=thread)
    assert (deleted.id, deleted.deleted, deleted.object) == (created.id, True, "thread.message.deleted")
    with pytest.raises(openai.NotFoundError):
        threads.messages.retrieve(created.id, thread_id=thread)


@pytest.mark.parametrize("limit", [1, 2, 7, 20, 33, 99, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_auto_pager_sees_every_message_once(threads: Any, store: Store, limit: int, order: str) -> None:
    thread = threads.create().id
    ids = store.add_messages(thread, [Draft(content=str(number)) for number in range(max(limit, 9) * 2)])
    seen = [message.id for message in threads.messages.list(thread, limit=limit, order=order)]
    assert seen == (ids if order == "asc" else ids[::-1])


def test_pages_by_cursor_and_run(threads: Any, store: Store) -> None:
    thread = threads.create().id
    ids = store.add_messages(thread, [Draft(content="x", run_id=f"run_{number % 2}") for number in range(10)])

    def listed(**options: Any) -> list[str]:
        return [message.id for message in threads.messages.list(thread, order="asc", **options)]

    assert listed(run_id="run_1", limit=2) == ids[1::2]
    assert listed(after=ids[3], limit=3) == ids[4:]
    assert listed(before=ids[3], limit=2) == ids[1:3]
    assert listed(after=ids[2], before=ids[7], limit=2) == ids[3:7]
    page = threads.messages.list(thread, limit=10)
    assert (page.has_next_page(), page.has_more) == (False, False)
    assert list(threads.messages.list(threads.create().id)) == []


def test_errors_have_the_clients_classes(threads: Any, base_url: str) -> None:
    thread = threads.create().id
    with pytest.raises(openai.BadRequestError) as caught:
        threads.messages.create(thread, role="system", content="x")
    assert (caught.value.param, caught.value.code) == ("role", "invalid_value")
    assert caught.value.request_id is not None
    with pytest.raises(openai.BadRequestError) as caught:
        threads.messages.list(thread, limit=101)
    assert (caught.value.param, caught.value.code) == ("limit", "integer_above_max_value")
    with pytest.raises(openai.BadRequestError):
        threads.messages.list(thread, after="msg_unknown")
    with pytest.raises(openai.NotFoundError):
        threads.messages.list("thread_unknown")
    with openai.OpenAI(base_url=base_url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.beta.threads.create()
        assert refused.value.code == "invalid_api_key"
