"""The names of tables in SQL text: which of them are the service's, and how SQLite can be told so.

SQLite knows the service's tables in a schema whose one name is ``openai.assistants``. It reads at most
``schema.table.column``, so ``openai.assistants.messages.id`` has to become
``"openai.assistants".messages.id`` before SQLite sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from .errors import ProgrammingError
from .lexer import Token
from .resources import RESOURCES, SCHEMA, SHORT_SCHEMA

TABLES = {resource.name: f"{SCHEMA}.{resource.name}" for resource in RESOURCES}

_WHOLE = {f"{SCHEMA}.{name}": name for name in TABLES}
_LONG = ((SCHEMA,), tuple(SCHEMA.split(".")))
# assistants.messages may also be a column called messages of a table called assistants. The text alone
# cannot tell, and the service's table is by far the likelier.
_SCHEMAS = (*_LONG, (SHORT_SCHEMA,))

# qualified: "openai.assistants".messages, and as a column's qualifier "openai.assistants".messages.id
# bare: messages and messages.id, for the bodies of views and triggers, which may name no other schema
# result: "openai.assistants".messages, but messages.id, for a RETURNING list
# pragma: messages, and any other name in the schema, PRAGMA "openai.assistants".table_info(messages)
Style = Literal["qualified", "bare", "result", "pragma"]


@dataclass(frozen=True)
class Name:
    """A dotted name as it stands in a text: its parts, the dots between them, and what is around it.

    ``after_as``: it follows the word AS. ``star``: ``.*`` follows it.
    """

    parts: tuple[Token, ...]
    dots: tuple[Token, ...]
    after_as: bool
    star: bool

    @cached_property
    def folded(self) -> tuple[str, ...]:
        """Give the parts as SQLite compares them."""
        return tuple(part.name for part in self.parts)

    @cached_property
    def schema_length(self) -> int:
        """Count the parts at the front that spell the service's schema."""
        return next((len(schema) for schema in _SCHEMAS if self.folded[: len(schema)] == schema), 0)

    @property
    def is_whole(self) -> bool:
        """Tell whether the first part is schema and table in one: ``"openai.assistants.messages"``."""
        return self.parts[0].type == "quoted" and self.folded[0] in _WHOLE

    @property
    def in_service(self) -> bool:
        """Tell whether the service's schema is written."""
        return self.is_whole or 0 < self.schema_length < len(self.parts)

    @property
    def is_local(self) -> bool:
        """Tell whether a schema of stored tables is written: neither the service's nor temp."""
        return len(self.parts) > 1 and not self.in_service and self.folded[0] != "temp"

    @property
    def table(self) -> str | None:
        """Name the service's table that this names where a table is expected, if it does."""
        if self.is_whole:
            return _WHOLE[self.folded[0]] if len(self.parts) == 1 else None
        rest = self.folded[self.schema_length :]
        return rest[0] if len(rest) == 1 and rest[0] in TABLES else None

    @property
    def spelling(self) -> str:
        """Give the name as it was written, without quotes."""
        return ".".join(part.spelling for part in self.parts)


def name_at(tokens: Sequence[Token], at: int) -> Name | None:
    """Read the dotted name that begins at a place in the meaningful tokens, if one does."""
    if at >= len(tokens) or not tokens[at].is_name:
        return None
    parts, dots = [tokens[at]], []
    after_as = at > 0 and tokens[at - 1].keyword == "AS"
    while at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at + 2].is_name:
        dots.append(tokens[at + 1])
        parts.append(tokens[at + 2])
        at += 2
    star = [token.text for token in tokens[at + 1 : at + 3]] == [".", "*"]
    return Name(tuple(parts), tuple(dots), after_as, star)


def names(tokens: Sequence[Token]) -> Iterator[Name]:
    """Read every dotted name among the meaningful tokens."""
    at = 0
    while at < len(tokens):
        name = name_at(tokens, at)
        if name is not None:
            yield name
        at += 1 if name is None else 2 * len(name.parts) - 1


def rewrite(tokens: Sequence[Token], style: Style) -> dict[int, str]:
    """Give the new texts, by the index of the token, that make the service's names SQLite's.

    Raises ProgrammingError for a table that the service does not have.
    """
    changes: dict[int, str] = {}
    for name in names(tokens):
        if _is_declared(name, style):
            changes.update(_bare(name) if _takes_bare(name, style) else _qualified(name))
    return changes


def _place(name: Name) -> int:
    """Find the part that is the table."""
    return 0 if name.is_whole else name.schema_length


def _is_declared(name: Name, style: Style) -> bool:
    """Tell whether a name is one of the service's tables, or a column or all columns of one."""
    if not name.in_service or name.after_as or len(name.parts) - _place(name) + name.star > 2:
        return False
    table = name.folded[_place(name)]
    if name.is_whole or table in TABLES or table.startswith("sqlite_") or style == "pragma":
        return True
    if name.folded[: name.schema_length] in _LONG:
        raise ProgrammingError(f"no such table: {name.spelling}; the service's tables are {listed(TABLES.values())}")
    return False


def _takes_bare(name: Name, style: Style) -> bool:
    if not name.is_whole and name.folded[_place(name)] not in TABLES:
        return False
    # SQLite's grammar has table.* but no schema.table.*
    has_column = len(name.parts) > _place(name) + 1
    return name.star or style in ("bare", "pragma") or (style == "result" and has_column)


def _bare(name: Name) -> dict[int, str]:
    """Leave the table's own name, quoted so that it cannot run into a word before or after it."""
    place = _place(name)
    dropped = dict.fromkeys((token.position for token in (*name.parts[:place], *name.dots[:place])), "")
    return {**dropped, name.parts[place].position: f'"{_own_name(name)}"'}


def _qualified(name: Name) -> dict[int, str]:
    """Put the schema's one name in the place of its parts; blanks and comments between them stay."""
    if name.is_whole:
        return {name.parts[0].position: f'"{SCHEMA}"."{_own_name(name)}"'}
    place = name.schema_length
    dropped = dict.fromkeys((token.position for token in (*name.parts[:place], *name.dots[: place - 1])), "")
    return {**dropped, name.parts[0].position: f'"{SCHEMA}"'}


def _own_name(name: Name) -> str:
    return _WHOLE[name.folded[0]] if name.is_whole else name.folded[name.schema_length]


def listed(words: Collection[str]) -> str:
    """Join names for an error text: ``a, b and c``."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
