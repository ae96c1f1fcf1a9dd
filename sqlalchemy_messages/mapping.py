"""The service's messages and threads as classes of SQLAlchemy's ORM."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, event, exc, inspect
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import registry

import messages_dbapi
from messages_dbapi.resources import MESSAGES, THREADS, Resource, Verb

from .tables import messages, threads

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped

_registry = registry()


class _Entity:
    """Take values by the names of the attributes, and show what tells an object from others."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            setattr(self, name, value)


def _identity(entity: _Entity, length: int) -> tuple[Any, ...]:
    """Give the primary key, or as many None: an attribute that has expired would be asked for."""
    return tuple(inspect(entity).identity or [None] * length)


class Message(_Entity):
    """A message; ``thread_id``, ``role`` and ``content`` make one, and ``metadata`` can be changed later.

    ``content`` may be a text; read, it is the list of its parts, and ``content_text`` their text.
    """

    if TYPE_CHECKING:
        id: Mapped[str]
        assistant_id: Mapped[str | None]
        attachments: Mapped[list[dict[str, Any]] | None]
        completed_at: Mapped[int | None]
        content: Mapped[list[dict[str, Any]] | str]
        created_at: Mapped[int]
        incomplete_at: Mapped[int | None]
        incomplete_details: Mapped[dict[str, Any] | None]
        metadata: Mapped[dict[str, str] | None]
        object: Mapped[str]
        role: Mapped[str]
        run_id: Mapped[str | None]
        status: Mapped[str | None]
        thread_id: Mapped[str]
        content_text: Mapped[str | None]

    def __repr__(self) -> str:
        thread_id, key = _identity(self, 2)
        return f"<Message {key} of {thread_id}>"


class Thread(_Entity):
    """A thread; nothing is needed to make one, and ``metadata`` and ``tool_resources`` can be changed later."""

    if TYPE_CHECKING:
        id: Mapped[str]
        created_at: Mapped[int]
        metadata: Mapped[dict[str, str] | None]
        object: Mapped[str]
        tool_resources: Mapped[dict[str, Any] | None]

    def __repr__(self) -> str:
        (key,) = _identity(self, 1)
        return f"<Thread {key}>"


def _map(cls: type, resource: Resource, table: Table) -> None:
    # eager_defaults: what the service fills comes back with the INSERT that asks for it.
    _registry.map_imperatively(cls, table, eager_defaults=True)
    for field in resource.fields:
        if field.type == "object":
            # So that a changed entry is noticed: message.metadata["state"] = "solved".
            MutableDict.associate_with_attribute(getattr(cls, field.name))

    # The driver would refuse such a statement too, but only after those that a flush sends before it.
    @event.listens_for(cls, "before_insert")
    def before_insert(_mapper: Any, _connection: Any, target: Any) -> None:
        _refuse(resource, target, "INSERT", {resource.scope, *resource.create})

    @event.listens_for(cls, "before_update")
    def before_update(_mapper: Any, _connection: Any, target: Any) -> None:
        _refuse(resource, target, "UPDATE", set(resource.modify))


def _refuse(resource: Resource, target: Any, verb: Verb, writable: Collection[str | None]) -> None:
    """Raise NotSupportedError where an attribute was set that such a statement cannot write."""
    changed = {attribute.key for attribute in inspect(target).attrs if _is_set(attribute.history.added, verb)}
    for name in sorted(changed.difference(writable)):
        method = resource.methods_of(verb)[0].name
        able = ", ".join(sorted(filter(None, writable)))
        text = f"column {name} of {resource.name} cannot be written: {method} takes only {able}"
        raise exc.NotSupportedError(None, None, messages_dbapi.NotSupportedError(text))


def _is_set(added: Collection[Any] | None, verb: Verb) -> bool:
    """Tell whether an attribute was given a value; None in a new object is none."""
    return any(verb == "UPDATE" or value is not None for value in added or ())


_map(Message, MESSAGES, messages)
_map(Thread, THREADS, threads)
