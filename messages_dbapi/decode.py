"""Reply bytes to rows of the used columns: JSON is read once, typed, and JSON columns stay text.

A row is a tuple of SQL values. The first are always the key and the time of the object and, where the
resource has one, its scope, because paging, ordering, merging and writing need them; the used columns
follow. The time is in Unix seconds there, whatever form its column has.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from .errors import InternalError
from .resources import FieldType, Hidden, Resource
from .secrecy import forgetting
from .timestamps import timestamp
from .types import Row, SQLValue

KEY, TIME, SCOPE = 0, 1, 2

# Wider integers are legal JSON, but SQLite cannot hold them.
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_ABSENT = msgspec.Raw(b"")
_NOTHING = (b"", b"null")
# What most JSON columns of most messages hold.
_FREQUENT = {b"": None, b"null": None, b"[]": "[]", b"{}": "{}"}
_LONGEST_FREQUENT = max(map(len, _FREQUENT))

_Decoded = Any  # an instance of a Struct that is made at run time
_Decoder = msgspec.json.Decoder[Any]


class Page(NamedTuple):
    """One page of a listing; ``has_more`` is None where the service left it out."""

    rows: list[Row]
    has_more: bool | None


class _Part(msgspec.Struct):
    type: str | None = None
    text: msgspec.Raw = _ABSENT


class _PartText(msgspec.Struct):
    value: str | None = None


_PARTS: _Decoder = msgspec.json.Decoder(list[_Part])
_PART_TEXT: _Decoder = msgspec.json.Decoder(_PartText | str | None)

_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL
)
# One search by a pattern is quicker than two by `in`.
_PERHAPS_NEEDLESS = re.compile(rb"\\[u/]")
_SURROGATE_ESCAPE = re.compile(rb"\\[uU][dD][89a-fA-F]")
_PAIR_OR_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class _Source(NamedTuple):
    """A field of the reply with its type there, and the readable form that is made of it."""

    field: str
    type: FieldType
    form: Literal["text", "timestamp"] | None = None


class Reader:
    """Read replies about one resource into rows of chosen columns."""

    def __init__(self, resource: Resource, columns: tuple[str, ...]) -> None:
        self.resource = resource
        self.position = _positions(resource, columns)
        self._sources = tuple(_source(resource, name) for name in self.position)
        fields = {source.field: (source.field, *_struct_type(source.type)) for source in self._sources}
        struct = msgspec.defstruct(resource.name, list(fields.values()))
        envelope = msgspec.defstruct("listing", [("data", list[struct]), ("has_more", bool | None, None)])  # type: ignore[valid-type]  # a Struct made at run time
        self._object: _Decoder = msgspec.json.Decoder(struct)
        self._listing: _Decoder = msgspec.json.Decoder(envelope)

    @forgetting
    def page(self, body: bytes, scope: str | None) -> Page:
        """Read the reply to a listing of ``scope``; raise InternalError where it breaks the API's promise."""
        listing, marker = _decode(self._listing, body)
        return Page(self._rows(listing.data, scope, marker), listing.has_more)

    @forgetting
    def row(self, body: bytes, scope: str | None) -> Row:
        """Read a reply that is one object of ``scope``; raise InternalError where it breaks the API's promise."""
        decoded, marker = _decode(self._object, body)
        return self._rows([decoded], scope, marker)[0]

    def _rows(self, objects: list[_Decoded], scope: str | None, marker: str | None) -> list[Row]:
        try:
            columns = [self._column(source, objects, scope, marker) for source in self._sources]
        except msgspec.DecodeError as error:
            raise self._not_json(error) from error
        except UnicodeDecodeError as error:
            problem = self._not_json(error)
        else:
            if not all(columns[KEY]):
                raise InternalError(f"the service sent one of the {self.resource.name} without an id")
            return list(zip(*columns, strict=True))
        # Out here it has no cause, which would hold what was sent.
        raise problem

    def _not_json(self, error: Exception) -> InternalError:
        return InternalError(f"the service sent {self.resource.name} that are not JSON: {error}")

    def _column(
        self, source: _Source, objects: list[_Decoded], scope: str | None, marker: str | None
    ) -> Sequence[SQLValue]:
        if source.field == self.resource.scope:
            return [scope] * len(objects)
        values = map(attrgetter(source.field), objects)
        convert = _converter(source)
        if convert is not None:
            values = map(convert, values)
        return list(values) if marker is None else [_restore(value, marker, source) for value in values]


@lru_cache(maxsize=256)
def reader(resource: Resource, columns: frozenset[str]) -> Reader:
    """Give the reader for a set of used columns; hidden ones may be among them."""
    return Reader(resource, tuple(sorted(columns)))


def held_as(resource: Resource, name: str) -> str:
    """Name what a row holds for a column: for an alias its field, else the column itself."""
    column = next((column for column in resource.columns if column.name == name), None)
    if isinstance(column, Hidden) and column.purpose in ("key", "write"):
        return column.field or name
    return name


class _DeletionReply(msgspec.Struct):
    deleted: bool


class _Refusal(msgspec.Struct):
    message: str


class _RefusalReply(msgspec.Struct):
    error: _Refusal


_REFUSAL: _Decoder = msgspec.json.Decoder(_RefusalReply)
_DELETION: _Decoder = msgspec.json.Decoder(_DeletionReply)


def deletion(body: bytes) -> bool:
    """Read the reply to a delete: whether there was something to delete."""
    decoded, _ = _decode(_DELETION, body)
    return bool(decoded.deleted)


def names(body: bytes, key: str) -> bool:
    """Tell whether an error reply is the API's own, in its envelope, about the object named ``key``."""
    try:
        message = str(_REFUSAL.decode(body).error.message)
    except msgspec.DecodeError:
        return False
    # A text that repeats the path names the key whatever is wrong with the path.
    return key in message.replace(f"/{key}", "")


def _positions(resource: Resource, columns: Iterable[str]) -> dict[str, int]:
    names = dict.fromkeys([*_leading(resource), *(held_as(resource, name) for name in columns)])
    return {name: position for position, name in enumerate(names)}


def _leading(resource: Resource) -> tuple[str, ...]:
    time = resource.field(resource.time).source or resource.time
    return (resource.key, time) if resource.scope is None else (resource.key, time, resource.scope)


def _source(resource: Resource, name: str) -> _Source:
    column = next((column for column in resource.columns if column.name == name), None)
    if column is None:  # the seconds of a time whose column is a timestamp
        return _Source(name, "integer")
    if isinstance(column, Hidden):
        return _Source(column.field or name, "array", "text")
    if column.source is None:
        return _Source(name, column.type)
    is_timestamp = column.type == "timestamp"
    return _Source(column.source, "integer", "timestamp") if is_timestamp else _Source(column.source, "array", "text")


def _struct_type(field_type: FieldType) -> tuple[Any, Any]:
    if field_type == "string":
        return str | None, None
    if field_type == "integer":
        return _Integer | None, None
    return msgspec.Raw, _ABSENT


def _is_json(source: _Source) -> bool:
    return source.type in ("array", "object") and source.form is None


def _converter(source: _Source) -> Callable[[Any], SQLValue] | None:
    if source.form == "timestamp":
        return _timestamp
    if source.form == "text":
        return _content_text
    return _json_text if _is_json(source) else None


def _timestamp(seconds: int | None) -> str | None:
    try:
        return None if seconds is None else timestamp(seconds)
    except OverflowError as error:
        raise InternalError(
            f"the service sent {seconds} for the time of a row, which is not in the years 0001 to 9999"
        ) from error


def _json_text(raw: msgspec.Raw) -> str | None:
    """Give a JSON value as text: no blanks between its tokens, no needless escapes, else as it was sent."""
    sent = bytes(raw)
    if len(sent) <= _LONGEST_FREQUENT and sent in _FREQUENT:
        return _FREQUENT[sent]
    text = msgspec.json.format(sent, indent=-1).decode()
    return _ESCAPE.sub(_unescape, text) if _PERHAPS_NEEDLESS.search(sent) else text


def _unescape(match: re.Match[str]) -> str:
    high, low, code, other = match.groups()
    if high:
        return bytes.fromhex(high + low).decode("utf-16-be")
    if other:
        return "/" if other == "/" else match[0]
    character = chr(int(code, 16))
    return match[0] if "\ud800" <= character <= "\udfff" else json.dumps(character, ensure_ascii=False)[1:-1]


def _content_text(raw: msgspec.Raw) -> str | None:
    """Join the text parts of a message's content by newlines; None where there is no content at all."""
    sent = bytes(raw)
    if sent in _NOTHING:
        return None
    if sent[:1] == b'"':  # one server of the contract gives a text as it is, outside any part
        return str(_PART_TEXT.decode(raw))
    texts = [_part_text(part) for part in _PARTS.decode(raw) if part.type == "text"]
    return "\n".join(text for text in texts if text is not None)


def _part_text(part: _Part) -> str | None:
    if not bytes(part.text):
        return None
    decoded = _PART_TEXT.decode(part.text)
    return decoded.value if isinstance(decoded, _PartText) else decoded


def _decode(decoder: _Decoder, body: bytes) -> tuple[_Decoded, str | None]:
    """Decode a reply, also one with lone surrogates, which msgspec refuses although JSON permits them.

    For such a reply the second value is the marker that stands for each of them.
    """
    try:
        return decoder.decode(body), None
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError) or not _SURROGATE_ESCAPE.search(body):
            raise _not_promised(error) from error
    marker = f"\x7f{secrets.token_hex(8)}"
    try:
        return decoder.decode(_mark_lone_surrogates(body, marker)), marker
    except msgspec.DecodeError as error:
        raise _not_promised(error) from error


def _not_promised(error: Exception) -> InternalError:
    return InternalError(f"the service sent a reply that is not what the API promises: {error}")


def _mark_lone_surrogates(body: bytes, marker: str) -> bytes:
    mark = marker.encode()
    return _PAIR_OR_ESCAPE.sub(lambda match: mark + match[1] if match[1] else match[0], body)


def _restore(value: SQLValue, marker: str, source: _Source) -> SQLValue:
    """Put lone surrogates back: as escapes into JSON text; a plain text has the replacement character."""
    if not isinstance(value, str):
        return value
    return re.sub(marker + "(u[0-9a-fA-F]{4})", r"\\\1" if _is_json(source) else "\ufffd", value)
