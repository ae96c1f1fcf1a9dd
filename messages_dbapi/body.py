"""What may be sent in a create or a modify: SQL values to a request body, or an error before any request."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .errors import DatabaseError, DataError, IntegrityError, NotSupportedError, ProgrammingError
from .resources import (
    CONTENT_LENGTH,
    METADATA_KEY_LENGTH,
    METADATA_PAIRS,
    METADATA_VALUE_LENGTH,
    ROLES,
    SCHEMA,
    Hidden,
    Method,
    Resource,
)
from .types import SQLValue

Body = dict[str, Any]


def creation(resource: Resource, values: Mapping[str, SQLValue], bound: Collection[str]) -> tuple[str | None, Body]:
    """Give the scope and the body of a create from the columns of a row that have a value.

    ``bound`` are the JSON texts of lists that were bound as parameters: they must be wholly parts.
    Raise IntegrityError for a required column without a value, NotSupportedError for one that cannot be
    written, ProgrammingError for one that is named twice, DataError for a value that the service refuses.
    """
    method = resource.methods_of("INSERT")[0]
    fields = _fields(resource, values, resource.create, method)
    _check_required(resource, method, {name for name, value in fields.items() if value is not None})
    scope = None if resource.scope is None else _scope(resource.scope, fields.pop(resource.scope))
    return scope, {name: _checked(name, value, bound) for name, value in fields.items()}


def check_columns(resource: Resource, columns: Sequence[str]) -> None:
    """Raise what ``creation`` would raise for an INSERT that lists these columns, whatever their values."""
    names = [name.lower() for name in columns]
    if names and set(names) <= {column.name for column in resource.columns}:
        method = resource.methods_of("INSERT")[0]
        fields = _fields(resource, dict.fromkeys(names), resource.create, method)
        _check_required(resource, method, fields)


def modification(resource: Resource, values: Mapping[str, SQLValue]) -> Body:
    """Give the body of a modify from the columns that a statement sets; NULL empties a map."""
    fields = _fields(resource, values, resource.modify, resource.methods_of("UPDATE")[0])
    return {name: {} if value is None else _checked(name, value, ()) for name, value in fields.items()}


def sendable(value: SQLValue, as_text: Callable[[float], str]) -> str | None:
    """Give a number as its SQL text, which ``as_text`` writes; raise DataError for a BLOB: texts only are sent."""
    if isinstance(value, bytes):
        raise DataError("a BLOB cannot be sent: bind a str")
    return as_text(value) if isinstance(value, int | float) else value


def encoded(body: Body) -> bytes:
    """Give a body as JSON; half characters (lone surrogates), which UTF-8 lacks, go as escapes."""
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(body).encode()


def _fields(
    resource: Resource, values: Mapping[str, SQLValue], writable: tuple[str, ...], method: Method
) -> dict[str, SQLValue]:
    """Name the fields that the columns stand for."""
    fields: dict[str, SQLValue] = {}
    scope = (resource.scope,) if method.verb == "INSERT" and resource.scope else ()
    for name, value in values.items():
        field = _written_field(resource, name)
        if field is None or field not in (*writable, *scope):
            raise _read_only(resource, name, writable, method)
        if field in fields:
            raise ProgrammingError(f"{field} and data__{field} are one column: give one of them")
        fields[field] = value
    return fields


def _written_field(resource: Resource, name: str) -> str | None:
    column = next((column for column in resource.columns if column.name == name), None)
    if isinstance(column, Hidden):
        return column.field if column.purpose == "write" else None
    return None if column is None else name


def problem_of_write(resource: Resource, kind: str) -> str | None:
    """Say why a resource cannot be written at all; None where it can."""
    if not resource.read_only:
        return None
    return (
        f"{kind} on {resource.name} is not available: {SCHEMA}.{resource.name} is read-only, a form of "
        f"{resource.form_of} for reading; write to {SCHEMA}.{resource.form_of}"
    )


def problem_of_update(resource: Resource, name: str) -> str | None:
    """Say why an UPDATE cannot set a column; None where it can."""
    if _written_field(resource, name) in resource.modify:
        return None
    return str(_read_only(resource, name, resource.modify, resource.methods_of("UPDATE")[0]))


def _read_only(resource: Resource, name: str, writable: tuple[str, ...], method: Method) -> NotSupportedError:
    able = ", ".join((resource.scope, *writable) if method.verb == "INSERT" and resource.scope else writable)
    return NotSupportedError(f"column {name} of {resource.name} cannot be written: {method.name} takes only {able}")


def _check_required(resource: Resource, method: Method, given: Collection[str]) -> None:
    required = resource.required if resource.scope is None else (resource.scope, *resource.required)
    missing = [name for name in required if name not in given]
    if missing:
        named, needed = " and ".join(missing), ", ".join(method.required)
        raise IntegrityError(f"INSERT into {resource.name} needs a value for {named}: {method.name} requires {needed}")


def _scope(name: str, value: SQLValue) -> str:
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise DataError(f"{name} = {value!r} is not an id")
    return value


def _checked(name: str, value: SQLValue, bound: Collection[str]) -> Any:
    if not isinstance(value, str):
        raise DataError(f"{name} must be text, not {type(value).__name__}")
    if name == "content":
        return _content(value, strict=value in bound)
    return _CHECKS[name](value)


def _content(text: str, *, strict: bool) -> Any:
    """Send a JSON array of whole parts as parts, any other text as that text."""
    parts = _parts(text)
    if parts is not None:
        for part in parts:
            _check_length(part.get("text", ""))
        return parts
    if strict:
        raise DataError(
            f"a list bound as content must consist of whole parts such as {{'type': 'text', 'text': 'Hello'}}, "
            f"not {text[:100]}"
        )
    return _check_length(text)


def _check_length(text: str) -> str:
    if len(text) > CONTENT_LENGTH:
        raise DataError(f"content has {len(text)} characters; the service takes at most {CONTENT_LENGTH}")
    return text


def _parts(text: str) -> list[Body] | None:
    if not text.lstrip(" \t\n\r").startswith("["):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return None
    parts = [part for item in items if (part := _part(item)) is not None]
    return parts if parts and len(parts) == len(items) else None


def _part(item: object) -> Body | None:
    """Give a whole content part as it is sent, or None where it is not one."""
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        return None
    kind = item["type"]
    if kind not in _BODY_OF_PART or set(item) != {"type", kind}:
        return None
    body = _BODY_OF_PART[kind](item[kind])
    return None if body is None else {"type": kind, kind: body}


def _text_body(body: object) -> str | None:
    """Take the shape of a create, a text, and that of a reply, an object with a value and annotations."""
    if isinstance(body, dict) and set(body) <= {"value", "annotations"}:
        body = body.get("value")
    return body if isinstance(body, str) else None


def _image_body(reference: str) -> Callable[[object], Body | None]:
    def image_body(body: object) -> Body | None:
        if not isinstance(body, dict) or not isinstance(body.get(reference), str):
            return None
        if not set(body) <= {reference, "detail"} or not isinstance(body.get("detail"), str | None):
            return None
        return {name: value for name, value in body.items() if value is not None}

    return image_body


_BODY_OF_PART: dict[str, Callable[[object], Any]] = {
    "text": _text_body,
    "image_file": _image_body("file_id"),
    "image_url": _image_body("url"),
}


def _role(text: str) -> str:
    if text not in ROLES:
        raise DataError(f"role = {text!r} is not one of {', '.join(ROLES)}")
    return text


def _json(name: str, text: str, kind: type, shape: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_json(name, text, shape) from error
    if not isinstance(value, kind):
        raise _not_json(name, text, shape)
    return value


def _not_json(name: str, text: str, shape: str) -> DatabaseError:
    return DataError(f"{name} must be {shape}, not {text[:100]!r}")


def _attachments(text: str) -> Any:
    items = _json("attachments", text, list, 'a JSON array such as [{"file_id": "…", "tools": […]}]')
    if not all(isinstance(item, dict) for item in items):
        raise DataError(f"attachments must be a JSON array of objects, not {text[:100]!r}")
    return items


def _tool_resources(text: str) -> Any:
    return _json("tool_resources", text, dict, "a JSON object")


def _metadata(text: str) -> Any:
    labels = _json("metadata", text, dict, 'a JSON object of texts such as {"topic": "travel"}')
    if len(labels) > METADATA_PAIRS:
        raise DataError(f"metadata has {len(labels)} pairs; the service takes at most {METADATA_PAIRS}")
    for key, value in labels.items():
        _check_label(key, value)
    return labels


def _check_label(key: str, value: object) -> None:
    if len(key) > METADATA_KEY_LENGTH:
        raise DataError(
            f"metadata key {key[:80]!r} has {len(key)} characters; at most {METADATA_KEY_LENGTH} are allowed"
        )
    if not isinstance(value, str):
        raise DataError(f"metadata value of {key!r} must be text, not {json.dumps(value)[:80]}")
    if len(value) > METADATA_VALUE_LENGTH:
        raise DataError(
            f"metadata value of {key!r} has {len(value)} characters; at most {METADATA_VALUE_LENGTH} are allowed"
        )


_CHECKS: dict[str, Callable[[str], Any]] = {
    "role": _role,
    "attachments": _attachments,
    "metadata": _metadata,
    "tool_resources": _tool_resources,
}
