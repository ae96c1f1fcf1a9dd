"""What the service offers, as data: its fields, its methods and the columns that carry parameters.

Everything else (tables, description, checks, error texts, reflection) reads these declarations, so
that a further resource is one more declaration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

SCHEMA = "openai.assistants"
SHORT_SCHEMA = "assistants"

FieldType = Literal["string", "integer", "timestamp", "array", "object"]
Verb = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]

# key: the id under its parameter's name. write: a field of the request body.
# text: read from another field. list: a parameter of the listing.
Purpose = Literal["key", "write", "text", "list"]

TYPE_CODES: dict[FieldType, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "timestamp": "TIMESTAMP",
    "array": "JSON",
    "object": "JSON",
}


@dataclass(frozen=True)
class Field:
    """A field of a reply, which is a column of the table."""

    name: str
    type: FieldType
    description: str
    nullable: bool = True
    # The service gives it a value where a create names none.
    generated: bool = False
    # The field of the reply whose readable form it is: of Unix seconds a timestamp, of content its text.
    source: str | None = None

    @property
    def type_code(self) -> str:
        """Give the type code that PEP 249's ``description`` shows."""
        return TYPE_CODES[self.type]


@dataclass(frozen=True)
class Hidden:
    """A column that a statement may name but that ``*`` leaves out."""

    name: str
    type: FieldType
    description: str
    purpose: Purpose
    # The field it stands for or is read from; None for a parameter of the listing.
    field: str | None = None


@dataclass(frozen=True)
class Method:
    """One HTTP call of the service and the SQL verb that reaches it."""

    name: str
    verb: Verb
    http: Literal["GET", "POST", "DELETE"]
    path: str
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resource:
    """A table of the service.

    ``scope`` is the column that says which listing a row stands in (None: the service has one
    listing), ``key`` the column that identifies a row in it. ``create`` and ``modify`` are the fields
    that such a call may send, ``required`` those that a create must. A listing is in order of
    ``time``, which the reply gives in Unix seconds, and ``filters`` are the fields it can be narrowed by.
    ``form_of`` names the resource of which this is another form, to be read only: that one is written.
    """

    name: str
    description: str
    fields: tuple[Field, ...]
    hidden: tuple[Hidden, ...]
    methods: tuple[Method, ...]
    scope: str | None
    key: str
    time: str
    create: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    modify: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    form_of: str | None = None

    @cached_property
    def columns(self) -> tuple[Field | Hidden, ...]:
        """List all columns in the order in which the table declares them."""
        return (*self.fields, *self.hidden)

    @cached_property
    def list_parameters(self) -> frozenset[str]:
        """Name the columns that are parameters of the listing."""
        return frozenset(column.name for column in self.hidden if column.purpose == "list")

    @property
    def read_only(self) -> bool:
        """Tell whether no method writes it."""
        return all(method.verb == "SELECT" for method in self.methods)

    @cached_property
    def has_timestamps(self) -> bool:
        """Tell whether its time is shown as a timestamp, which is a text, and not in Unix seconds."""
        return self.field(self.time).type == "timestamp"

    @cached_property
    def key_parameter(self) -> str:
        """Name the key as the methods name it: ``message_id`` for the ``id`` of a message."""
        return next(column.name for column in self.hidden if column.purpose == "key")

    def field(self, name: str) -> Field:
        """Find a field by its name."""
        return next(field for field in self.fields if field.name == name)

    def method(self, verb: Verb, *, keyed: bool) -> Method:
        """Find the method that an SQL verb reaches, for one row by its key or for the listing."""
        return next(m for m in self.methods_of(verb) if keyed == (self.key_parameter in m.required))

    def methods_of(self, verb: Verb) -> tuple[Method, ...]:
        """List the methods that an SQL verb can reach."""
        return tuple(method for method in self.methods if method.verb == verb)


_LIST_PARAMETERS = (
    Hidden(
        "limit", "integer", "Messages per page of the listing, 1 to 100; it never changes which rows answer.", "list"
    ),
    Hidden(
        "order", "string", "Delivery order of the listing, asc or desc; it never changes which rows answer.", "list"
    ),
    Hidden("after", "string", "Only the messages that follow this message id in the listing's order.", "list"),
    Hidden("before", "string", "Only the messages that precede this message id in the listing's order.", "list"),
)

MESSAGES = Resource(
    name="messages",
    description="The messages of a thread, oldest first.",
    fields=(
        Field("id", "string", "Names the message in every call that concerns it.", nullable=False, generated=True),
        Field(
            "assistant_id",
            "string",
            "The assistant that wrote the message; empty for one that a person wrote.",
            generated=True,
        ),
        Field(
            "attachments",
            "array",
            "Files that came with the message, each with the tools that may read it.",
            generated=True,
        ),
        Field("completed_at", "integer", "When the message was finished, in Unix seconds.", generated=True),
        Field("content", "array", "What was said: a list of parts, each a text or an image.", nullable=False),
        Field(
            "created_at", "integer", "When the message was created, in Unix seconds.", nullable=False, generated=True
        ),
        Field("incomplete_at", "integer", "When the message was given up unfinished, in Unix seconds.", generated=True),
        Field("incomplete_details", "object", "Why an unfinished message was given up.", generated=True),
        Field(
            "metadata",
            "object",
            "Up to 16 labels of the user's own: names of up to 64 characters, texts of up to 512.",
            generated=True,
        ),
        Field(
            "object", "string", "The kind of object; for every message thread.message.", nullable=False, generated=True
        ),
        Field("role", "string", "Who speaks: user or assistant.", nullable=False),
        Field(
            "run_id", "string", "The run that wrote the message; empty for one that was posted by hand.", generated=True
        ),
        Field("status", "string", "How far the message is: in_progress, incomplete or completed.", generated=True),
        Field("thread_id", "string", "The thread that the message belongs to.", nullable=False),
    ),
    hidden=(
        Hidden("message_id", "string", "The id of the message, as the methods name it.", "key", "id"),
        Hidden("data__role", "string", "The role to send.", "write", "role"),
        Hidden("data__content", "array", "The content to send: a text, or a list of whole parts.", "write", "content"),
        Hidden("data__attachments", "array", "The attachments to send.", "write", "attachments"),
        Hidden("data__metadata", "object", "The metadata to send.", "write", "metadata"),
        Hidden(
            "content_text",
            "string",
            "The text parts of content, one after the other on lines of their own.",
            "text",
            "content",
        ),
        *_LIST_PARAMETERS,
    ),
    methods=(
        Method(
            "get_message", "SELECT", "GET", "/threads/{thread_id}/messages/{message_id}", ("thread_id", "message_id")
        ),
        Method("list_messages", "SELECT", "GET", "/threads/{thread_id}/messages", ("thread_id",)),
        Method(
            "create_message",
            "INSERT",
            "POST",
            "/threads/{thread_id}/messages",
            ("thread_id", "data__role", "data__content"),
        ),
        Method(
            "modify_message",
            "UPDATE",
            "POST",
            "/threads/{thread_id}/messages/{message_id}",
            ("thread_id", "message_id"),
        ),
        Method(
            "delete_message",
            "DELETE",
            "DELETE",
            "/threads/{thread_id}/messages/{message_id}",
            ("thread_id", "message_id"),
        ),
    ),
    scope="thread_id",
    key="id",
    time="created_at",
    create=("role", "content", "attachments", "metadata"),
    required=("role", "content"),
    modify=("metadata",),
    filters=("run_id",),
)

THREADS = Resource(
    name="threads",
    description="The threads that the service keeps; each holds messages.",
    fields=(
        Field("id", "string", "Names the thread in every call that concerns it.", nullable=False, generated=True),
        Field("created_at", "integer", "When the thread was created, in Unix seconds.", nullable=False, generated=True),
        Field(
            "metadata",
            "object",
            "Up to 16 labels of the user's own: names of up to 64 characters, texts of up to 512.",
            generated=True,
        ),
        Field("object", "string", "The kind of object; for every thread thread.", nullable=False, generated=True),
        Field(
            "tool_resources", "object", "What the tools of the thread may read: files, vector stores.", generated=True
        ),
    ),
    hidden=(Hidden("thread_id", "string", "The id of the thread, as the methods name it.", "key", "id"),),
    methods=(
        Method("get_thread", "SELECT", "GET", "/threads/{thread_id}", ("thread_id",)),
        Method("list_threads", "SELECT", "GET", "/threads"),
        Method("create_thread", "INSERT", "POST", "/threads"),
        Method("modify_thread", "UPDATE", "POST", "/threads/{thread_id}", ("thread_id",)),
        Method("delete_thread", "DELETE", "DELETE", "/threads/{thread_id}", ("thread_id",)),
    ),
    scope=None,
    key="id",
    time="created_at",
    create=("metadata", "tool_resources"),
    modify=("metadata", "tool_resources"),
)

TRANSCRIPT = Resource(
    name="transcript",
    description="What was said in a thread, as people read it: the messages with their text and time, oldest first.",
    fields=(
        Field("thread_id", "string", "The thread that the message belongs to.", nullable=False),
        Field("id", "string", "Names the message, here and in messages.", nullable=False, generated=True),
        Field(
            "created",
            "timestamp",
            "When the message was created, in UTC: YYYY-MM-DD HH:MM:SS.",
            nullable=False,
            generated=True,
            source="created_at",
        ),
        Field("role", "string", "Who speaks: user or assistant.", nullable=False),
        Field(
            "text",
            "string",
            "The text parts of the content, one after the other on lines of their own.",
            source="content",
        ),
        MESSAGES.field("run_id"),
        MESSAGES.field("assistant_id"),
        MESSAGES.field("metadata"),
    ),
    hidden=(
        Hidden("message_id", "string", "The id of the message, as the methods name it.", "key", "id"),
        *_LIST_PARAMETERS,
    ),
    methods=MESSAGES.methods_of("SELECT"),
    scope="thread_id",
    key="id",
    time="created",
    filters=MESSAGES.filters,
    form_of="messages",
)

RESOURCES = (MESSAGES, THREADS, TRANSCRIPT)

# Limits of the service on what may be sent: code points, pairs, rows a page.
CONTENT_LENGTH = 256_000
METADATA_PAIRS = 16
METADATA_KEY_LENGTH = 64
METADATA_VALUE_LENGTH = 512
PAGE_SIZE = 100
ROLES = ("user", "assistant")
