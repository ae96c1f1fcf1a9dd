"""The service's tables for SQLAlchemy Core, made from their declaration."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, FetchedValue, MetaData, PrimaryKeyConstraint, String, Table

from messages_dbapi.resources import MESSAGES, SCHEMA, THREADS, TRANSCRIPT, Field, Hidden, Resource

from .types import COLUMN_TYPES

metadata = MetaData(schema=SCHEMA)


def primary_key(resource: Resource) -> list[str]:
    """Name the columns that tell the rows of a table apart."""
    return [resource.key] if resource.scope is None else [resource.scope, resource.key]


def _column(field: Field) -> Column[Any]:
    filled = FetchedValue() if field.generated else None
    return Column(
        field.name,
        COLUMN_TYPES[field.type](),
        nullable=field.nullable,
        server_default=filled,
        comment=field.description,
    )


def _text(hidden: Hidden) -> Column[Any]:
    # Read from another field, so that it is known once the service has answered.
    return Column(hidden.name, String(), server_default=FetchedValue(), comment=hidden.description)


def _table(resource: Resource) -> Table:
    texts = [_text(hidden) for hidden in resource.hidden if hidden.purpose == "text"]
    return Table(
        resource.name,
        metadata,
        *map(_column, resource.fields),
        *texts,
        PrimaryKeyConstraint(*primary_key(resource)),
        comment=resource.description,
    )


messages = _table(MESSAGES)
threads = _table(THREADS)
transcript = _table(TRANSCRIPT)
