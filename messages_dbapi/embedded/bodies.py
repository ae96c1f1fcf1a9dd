"""What each method's request body may hold, as data, read from bytes and checked."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ..resources import (
    CONTENT_LENGTH,
    MESSAGES,
    METADATA_KEY_LENGTH,
    METADATA_PAIRS,
    METADATA_VALUE_LENGTH,
    ROLES,
    THREADS,
)
from . import refusals
from .checks import Check, array, choice, integer, labels, nullable, one_of, record, text, uri, variants
from .refusals import Refusal

_TYPE = {"type": text()}
_DETAIL = {"detail": choice("auto", "low", "high")}

_PART = variants(
    text=record({**_TYPE, "text": text(CONTENT_LENGTH)}, ("type", "text")),
    image_file=record(
        {**_TYPE, "image_file": record({"file_id": text(), **_DETAIL}, ("file_id",))}, ("type", "image_file")
    ),
    image_url=record({**_TYPE, "image_url": record({"url": uri, **_DETAIL}, ("url",))}, ("type", "image_url")),
)


def _content(name: str, value: object) -> Any:
    if isinstance(value, (str, list)):
        return _TEXT_CONTENT(name, value) if isinstance(value, str) else _PARTS(name, value)
    raise refusals.wrong_type(name, "a string or an array", value)


_TEXT_CONTENT = text(CONTENT_LENGTH)
_PARTS = array(_PART, least=1)

_METADATA = nullable(labels(pairs=METADATA_PAIRS, key_length=METADATA_KEY_LENGTH, value_length=METADATA_VALUE_LENGTH))

_TOOL = variants(code_interpreter=record(_TYPE), file_search=record(_TYPE))

_CHUNKING = variants(
    auto=record(_TYPE),
    static=record(
        {
            **_TYPE,
            "static": record(
                {"max_chunk_size_tokens": integer(100, 4096), "chunk_overlap_tokens": integer(0, 2048)},
                ("max_chunk_size_tokens", "chunk_overlap_tokens"),
            ),
        },
        ("type", "static"),
    ),
)
_VECTOR_STORE = record({"file_ids": array(text()), "chunking_strategy": _CHUNKING, "metadata": _METADATA})


_STORE_IDS = array(text(), most=1)
_SEARCH = record({"vector_store_ids": _STORE_IDS})
_SEARCH_OF_NEW = one_of(
    "vector_store_ids",
    "vector_stores",
    check=record({"vector_store_ids": _STORE_IDS, "vector_stores": array(_VECTOR_STORE, most=1)}),
)


def _tool_resources(file_search: Check) -> Check:
    interpreter = record({"file_ids": array(text(), most=20)})
    return nullable(record({"code_interpreter": interpreter, "file_search": file_search}))


_MESSAGE_FIELDS: dict[str, Check] = {
    "role": choice(*ROLES),
    "content": _content,
    "attachments": nullable(array(record({"file_id": text(), "tools": array(_TOOL)}))),
    "metadata": _METADATA,
}
_MESSAGE = record({name: _MESSAGE_FIELDS[name] for name in MESSAGES.create}, MESSAGES.required)

_THREAD_FIELDS: dict[str, Check] = {
    "metadata": _METADATA,
    "tool_resources": _tool_resources(_SEARCH_OF_NEW),
    "messages": array(_MESSAGE),
}

BODIES: dict[str, Check] = {
    "create_message": _MESSAGE,
    "modify_message": record({name: _MESSAGE_FIELDS[name] for name in MESSAGES.modify}),
    "create_thread": record({name: _THREAD_FIELDS[name] for name in (*THREADS.create, "messages")}),
    "modify_thread": record({"metadata": _METADATA, "tool_resources": _tool_resources(_SEARCH)}),
}

# The contract makes the body of every other method required.
_MAY_BE_EMPTY = frozenset({"create_thread"})


def read_body(method: str, raw: bytes) -> dict[str, Any]:
    """Read the body of a method's request, or raise a Refusal."""
    check = BODIES.get(method)
    if check is None or (not raw and method in _MAY_BE_EMPTY):
        return {}
    body: dict[str, Any] = check("", _parsed(raw))
    return body


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise Refusal(400, "The body of the request is nested too deeply.", code="invalid_json") from None
    except ValueError as error:
        raise Refusal(400, f"The body of the request is not valid JSON: {error}.", code="invalid_json") from error


def _refuse_constant(name: str) -> NoReturn:
    # Python reads NaN and Infinity, which are not JSON.
    raise ValueError(f"{name} is not a JSON value")
