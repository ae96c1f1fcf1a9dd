"""What each method of the declared resources does to the store, and the JSON text it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import documents
from .documents import Draft
from .listing import Page
from .store import Store


class Call(NamedTuple):
    """A request whose parts have been checked."""

    thread_id: str
    message_id: str
    page: Page
    body: dict[str, Any]


def _create_thread(store: Store, call: Call) -> str:
    fields = {**call.body, "messages": [_draft(message) for message in call.body.get("messages", ())]}
    return store.add_thread(**fields).reply


def _get_thread(store: Store, call: Call) -> str:
    return store.thread(call.thread_id).reply


def _list_threads(store: Store, call: Call) -> str:
    return documents.listing(*store.threads(call.page))


def _modify_thread(store: Store, call: Call) -> str:
    return store.modify_thread(call.thread_id, **_emptied(call.body)).reply


def _delete_thread(store: Store, call: Call) -> str:
    store.delete_thread(call.thread_id)
    return documents.deletion("thread", call.thread_id)


def _create_message(store: Store, call: Call) -> str:
    return store.add_message(call.thread_id, _draft(call.body)).reply


def _get_message(store: Store, call: Call) -> str:
    return store.message(call.thread_id, call.message_id).reply


def _list_messages(store: Store, call: Call) -> str:
    return documents.listing(*store.messages(call.thread_id, call.page))


def _modify_message(store: Store, call: Call) -> str:
    return store.modify_message(call.thread_id, call.message_id, **_emptied(call.body)).reply


def _delete_message(store: Store, call: Call) -> str:
    store.delete_message(call.thread_id, call.message_id)
    return documents.deletion("thread.message", call.message_id)


METHODS: dict[str, Callable[[Store, Call], str]] = {
    "create_thread": _create_thread,
    "get_thread": _get_thread,
    "list_threads": _list_threads,
    "modify_thread": _modify_thread,
    "delete_thread": _delete_thread,
    "create_message": _create_message,
    "get_message": _get_message,
    "list_messages": _list_messages,
    "modify_message": _modify_message,
    "delete_message": _delete_message,
}


def _draft(body: dict[str, Any]) -> Draft:
    # null stands for an optional field's default.
    return Draft(**{name: value for name, value in body.items() if value is not None})


def _emptied(body: dict[str, Any]) -> dict[str, Any]:
    # A field that is null is emptied; one that is not there stays as it is.
    return {name: {} if value is None else value for name, value in body.items()}
