"""The JSON texts of the service's replies: messages, threads, lists, deletions and errors.

Texts are compact, non-ASCII characters stand for themselves, and a lone surrogate, which UTF-8 cannot
hold, is its JSON escape: what came in as ``"\\ud800"`` goes out as ``"\\ud800"``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Row(NamedTuple):
    """A message or thread: its id and its reply, a JSON text."""

    id: str
    reply: str


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A message to be: over HTTP only the first four can be chosen, by an import all of them.

    ``content`` is a text or a list of parts, in the shape that is sent or the one that is read.
    ``created_at`` None stands for now, ``id`` None for a new one.
    """

    content: str | Sequence[JSON]
    role: str = "user"
    attachments: Sequence[JSON] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    id: str | None = None
    created_at: int | None = None
    run_id: str | None = None
    assistant_id: str | None = None
    status: str = "completed"
    completed_at: int | None = None
    incomplete_at: int | None = None
    incomplete_details: Mapping[str, JSON] | None = None


def to_text(value: JSON) -> str:
    """Write a value as JSON."""
    text = _encode(value)
    # backslashreplace writes a lone surrogate as \udXXX, which is also its escape in JSON.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def message_body(draft: Draft, message_id: str, thread_id: str, created_at: int) -> str:
    """Write the reply of a message up to the value of its metadata, its one field that changes."""
    fields: dict[str, JSON] = {
        "id": message_id,
        "object": "thread.message",
        "created_at": created_at,
        "assistant_id": draft.assistant_id,
        "thread_id": thread_id,
        "run_id": draft.run_id,
        "status": draft.status,
        "incomplete_details": draft.incomplete_details,
        "completed_at": draft.completed_at,
        "incomplete_at": draft.incomplete_at,
        "role": draft.role,
        "content": _content(draft.content),
        "attachments": draft.attachments,
    }
    return to_text(fields)[:-1] + ',"metadata":'


def message(body: str, metadata: str) -> str:
    """Write the reply of a message from its two stored texts."""
    return f"{body}{metadata}}}"


def thread(thread_id: str, created_at: int, tool_resources: str, metadata: str) -> str:
    """Write the reply of a thread; the last two are JSON texts."""
    return (
        f'{{"id":{to_text(thread_id)},"object":"thread","created_at":{created_at},'
        f'"tool_resources":{tool_resources},"metadata":{metadata}}}'
    )


def listing(rows: Sequence[Row], has_more: bool) -> str:
    """Write the envelope of a list; an empty one has null for its first and last id."""
    first = to_text(rows[0].id if rows else None)
    last = to_text(rows[-1].id if rows else None)
    data = ",".join([row.reply for row in rows])
    return (
        f'{{"object":"list","data":[{data}],"first_id":{first},"last_id":{last},'
        f'"has_more":{"true" if has_more else "false"}}}'
    )


def deletion(kind: str, row_id: str) -> str:
    """Write the answer to a deletion; ``kind`` is the object's kind, as ``thread.message``."""
    return to_text({"id": row_id, "object": f"{kind}.deleted", "deleted": True})


def error(message: str, kind: str, param: str | None, code: str | None) -> str:
    """Write the error envelope, all four keys always there."""
    return to_text({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _content(content: str | Sequence[JSON]) -> JSON:
    if isinstance(content, str):
        return [_text_part(content)]
    return [_stored_part(part) for part in content]


def _stored_part(part: JSON) -> JSON:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return _text_part(part["text"])
    return part


def _text_part(value: JSON) -> JSON:
    return {"type": "text", "text": {"value": value, "annotations": []}}
