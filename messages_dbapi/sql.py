"""One SQL statement, looked at but never evaluated: what it does, to which table, and its text for SQLite.

SQLite is the judge of syntax. What this room does not recognise goes to SQLite as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

from . import ddl
from .conditions import hides_threads
from .errors import ProgrammingError
from .lexer import Token, meaningful, split, statements, tokenize, trim
from .names import Style, rewrite
from .reader import Reader
from .seal import RETURNED_PREFIX

__all__ = ["Constant", "Kind", "Text", "analyse", "split"]

Kind = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "DDL", "TRANSACTION", "PRAGMA", "EXPLAIN", "OTHER", "EMPTY"]

_KINDS: dict[str, Kind] = {
    "SELECT": "SELECT",
    "VALUES": "SELECT",
    "INSERT": "INSERT",
    "REPLACE": "INSERT",
    "UPDATE": "UPDATE",
    "DELETE": "DELETE",
    **dict.fromkeys(("CREATE", "DROP", "ALTER", "REINDEX", "ANALYZE", "VACUUM"), "DDL"),
    **dict.fromkeys(("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"), "TRANSACTION"),
    "PRAGMA": "PRAGMA",
}
# Words that stand for a value.
_VALUES = ("NULL", "TRUE", "FALSE")
_WRITES = ("INSERT", "REPLACE", "UPDATE", "DELETE")

# Statements differ by their literals where a program binds no parameters; those that are cached are
# meant to be the repeated ones, and together stay below some 25 MB.
_CACHED_STATEMENTS = 256
_CACHED_LENGTH = 100_000

# What a statement may hold: reading a million tokens takes a few seconds and some 150 MB.
_LONGEST = 32_000_000
_MOST_TOKENS = 1_000_000
# SQLite's own limits are lower yet, by what stands in the parentheses.
_DEEPEST = 1_000
_MOST_PARAMETERS = 32_766
# So many digits of a ?NNN tell that it is more than that.
_DIGITS = 6


class Constant(NamedTuple):
    """A column that an UPDATE sets to an expression without columns: ``sql``, with ``parameters`` to bind."""

    column: str
    sql: str
    parameters: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """What a statement is, and the texts to hand to SQLite.

    ``verb`` is the word in capitals that says what is done (``REPLACE``, ``ROLLBACK``; empty if unknown),
    and ``kind`` sorts statements by it. ``sql`` has the service's names as SQLite knows them. ``target`` is
    the service's table that an INSERT, UPDATE or DELETE writes (None for a local table), ``alias`` its
    ``AS`` name, ``conflict`` what follows its OR (``IGNORE``, …; REPLACE INTO is ``REPLACE``), or
    ``UPSERT`` for an ON CONFLICT clause. With a target, a RETURNING clause is cut off ``sql``, and
    ``returning`` is its list; a column in it is qualified by the target's bare name or its alias, if at
    all. An EXPLAIN has kind ``EXPLAIN`` and none of these, but RETURNING is cut off in it as well.
    ``savepoint`` is the name that SAVEPOINT, RELEASE or ROLLBACK TO gives. ``explained`` is the statement that an
    EXPLAIN REQUESTS is about, which has nothing for SQLite itself.

    ``parameters`` are those of the statement as the user wrote it, the first being SQLite's number 1:
    the name of each (without its ``:``, ``@`` or ``$``), or None for ``?`` and ``?NNN`` (and for a number
    that only a higher ``?NNN`` brings in). So ``len(parameters)`` is how many values a sequence must
    have, and a mapping fits where no name is None. From the values in that order,
    ``[values[number - 1] for number in text.sql_parameters]`` is the sequence to bind to ``sql``, and the
    same with ``returning_parameters`` that for ``returning``: where RETURNING was cut off, both texts
    have parameters ``?1``, ``?2``, … of their own.
    """

    sql: str
    kind: Kind
    verb: str = ""
    target: str | None = None
    alias: str | None = None
    returning: str | None = None
    conflict: str | None = None
    explain: bool = False
    parameters: tuple[str | None, ...] = ()
    sql_parameters: tuple[int, ...] = ()
    returning_parameters: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    constants: tuple[Constant, ...] = ()
    hides_threads: bool = False
    savepoint: str | None = None
    explained: Text | None = None


def analyse(operation: str) -> Text:
    """Look at one statement, which a ``;``, blanks and comments may follow.

    Raises ProgrammingError for a second statement, for a table that the service does not have, for a
    local table that would hide one of the service's, for text that SQLite cannot read at all (NUL, half of
    a surrogate pair, a literal that is not closed), and for more of anything than a statement may hold;
    NotSupportedError for DDL on the service's tables.
    """
    return _analyse(operation) if len(operation) > _CACHED_LENGTH else _analyse_once(operation)


def _analyse(operation: str) -> Text:
    if len(operation) > _LONGEST:
        raise _too_long(f"{len(operation):,} characters", f"{_LONGEST:,}")
    _check_unicode(operation)
    every = tokenize(operation, _MOST_TOKENS + 1)
    if len(every) > _MOST_TOKENS:
        raise _too_long(f"more than {_MOST_TOKENS:,} words, literals and signs", "that")
    pieces = statements(every)
    if not pieces:
        return Text(sql="", kind="EMPTY")
    if len(pieces) > 1:
        raise _too_many(pieces)
    _check_end(operation, every[-1])
    _check_depth(operation, every)
    return _text_of(pieces[0])


def _text_of(piece: Sequence[Token]) -> Text:
    everything = meaningful(piece)
    if [token.keyword for token in everything[:2]] == ["EXPLAIN", "REQUESTS"]:
        return _explaining([token for token in piece if token.position > everything[1].position])
    tokens = _without_explain(everything)
    ddl.check(tokens)
    target = _find_target(tokens)
    place = None if target is None else _find_returning(tokens)
    text = _keep(piece, everything, tokens) if place is None else _cut(piece, everything, tokens[place])
    if len(tokens) < len(everything):
        return replace(text, kind="EXPLAIN", verb="EXPLAIN", explain=True, returning=None, returning_parameters=())
    verb = _verb(Reader(tokens))
    text = replace(text, kind=_KINDS.get(verb, "OTHER"), verb=verb, hides_threads=hides_threads(tokens))
    if text.kind == "TRANSACTION":
        return replace(text, savepoint=_find_savepoint(tokens))
    if target is None:
        return text
    constants = tuple(_find_constants(everything, target.rest)) if text.kind == "UPDATE" else ()
    return replace(
        text,
        target=target.table,
        alias=target.alias,
        conflict=target.conflict,
        columns=target.columns,
        constants=constants,
    )


def _explaining(piece: Sequence[Token]) -> Text:
    """Give the text of an EXPLAIN REQUESTS, by what stands behind it."""
    explained = _text_of(piece) if meaningful(piece) else None
    if explained is None or (explained.kind != "SELECT" and explained.target is None):
        raise ProgrammingError(
            "EXPLAIN REQUESTS takes a SELECT, or an INSERT, UPDATE or DELETE on the service; of any other statement "
            "explain the SELECT in it"
        )
    return Text(sql="", kind="EXPLAIN", verb="EXPLAIN", parameters=explained.parameters, explained=explained)


_analyse_once = lru_cache(_CACHED_STATEMENTS)(_analyse)


def _check_unicode(operation: str) -> None:
    try:
        operation.encode()
    except UnicodeEncodeError as error:
        raise ProgrammingError(
            f"the SQL text holds half of a surrogate pair at position {error.start}, which SQLite cannot read"
        ) from error


def _too_long(size: str, limit: str) -> ProgrammingError:
    return ProgrammingError(
        f"the statement has {size}, and may have at most {limit}; bind values as parameters, a list of them as one: "
        "IN (SELECT value FROM json_each(?)), and the rows of an INSERT one by one with executemany"
    )


def _check_end(operation: str, last: Token) -> None:
    if last.is_closed:
        return
    raise ProgrammingError(
        f"the text ends within the literal or name {last.text[:20]!r} that begins at position "
        f"{len(operation) - len(last.text)}: nothing closes it"
    )


def _check_depth(operation: str, tokens: Sequence[Token]) -> None:
    if operation.count("(") <= _DEEPEST:
        return
    deepest = max(accumulate({"(": 1, ")": -1}.get(token.text, 0) for token in tokens))
    if deepest > _DEEPEST:
        raise ProgrammingError(
            f"the statement has parentheses {deepest:,} deep, and may have at most {_DEEPEST:,}: write it flatter"
        )


def _too_many(pieces: Sequence[Sequence[Token]]) -> ProgrammingError:
    second = " ".join(token.text for token in meaningful(pieces[1])[:4])
    return ProgrammingError(
        f"execute takes one statement at a time, and this text holds {len(pieces)}: the second begins with "
        f"{second[:60]!r}; execute them one after another"
    )


def _without_explain(tokens: Sequence[Token]) -> Sequence[Token]:
    reader = Reader(tokens)
    if reader.take("EXPLAIN"):
        reader.take("QUERY", "PLAN")
    return reader.rest


def _verb(reader: Reader) -> str:
    """Take the word that says what the statement does, behind the tables of a WITH."""
    while reader.take_sign("("):
        pass
    if reader.take("WITH"):
        reader.take("RECURSIVE")
        _skip_common_tables(reader)
    return reader.take_any(_KINDS)


def _skip_common_tables(reader: Reader) -> None:
    while reader.take_name():
        reader.take_parentheses()
        reader.take("AS")
        reader.take("NOT")
        reader.take("MATERIALIZED")
        reader.take_parentheses()
        if not reader.take_sign(","):
            return


def _find_savepoint(tokens: Sequence[Token]) -> str | None:
    reader = Reader(tokens)
    if reader.take("ROLLBACK"):
        reader.take("TRANSACTION")
        if not reader.take("TO"):
            return None
    elif not (reader.take("RELEASE") or reader.keyword == "SAVEPOINT"):
        return None
    reader.take("SAVEPOINT")
    name = reader.take_name()
    return None if name is None else name.folded[-1]


@dataclass(frozen=True)
class _Target:
    table: str
    alias: str | None
    conflict: str | None
    columns: tuple[str, ...]
    rest: Sequence[Token]


def _find_target(tokens: Sequence[Token]) -> _Target | None:
    """Find the service's table that a statement writes, if it does."""
    reader = Reader(tokens)
    verb = _verb(reader)
    if verb not in _WRITES:
        return None
    conflict = reader.take_word() if reader.take("OR") else ""
    reader.take_any(("INTO", "FROM"))
    name = reader.take_name()
    if name is None or name.table is None:
        return None
    alias = reader.take_name() if reader.take("AS") else None
    columns = reader.take_names() if verb in ("INSERT", "REPLACE") else ()
    spelling = alias.spelling if alias else None
    return _Target(name.table, spelling, _find_conflict(verb, conflict, tokens), columns, reader.rest)


def _find_constants(everything: Sequence[Token], tokens: Sequence[Token]) -> Iterator[Constant]:
    """Find the columns that SET gives a constant; ``tokens`` begin behind the target."""
    reader = Reader(tokens)
    if not reader.skip_to("SET"):
        return
    numbers = _number(everything)
    while (name := reader.take_name()) and reader.take_sign("="):
        expression = reader.take_expression()
        if _is_constant(expression):
            changes, parameters = _renumber(expression, numbers)
            sql = " ".join(changes.get(token.position, token.text) for token in expression)
            yield Constant(name.spelling, sql, parameters)
        if not reader.take_sign(","):
            return


def _is_constant(tokens: Sequence[Token]) -> bool:
    """Tell whether an expression surely names no column: its words are functions, or stand for values."""
    following = [token.text for token in tokens[1:]] + [""]
    return bool(tokens) and all(
        token.type not in ("word", "quoted") or token.keyword in _VALUES or (token.type == "word" and after == "(")
        for token, after in zip(tokens, following, strict=True)
    )


def _find_conflict(verb: str, conflict: str, tokens: Sequence[Token]) -> str | None:
    if verb == "REPLACE":
        return verb
    if verb == "INSERT" and _has_upsert(tokens):
        return "UPSERT"
    return conflict or None


def _has_upsert(tokens: Sequence[Token]) -> bool:
    """Tell whether there is an ON CONFLICT … DO; without DO it is a join on a column of that name."""
    words = [token.keyword for token in tokens]
    places = (place for place, pair in enumerate(pairwise(words)) if pair == ("ON", "CONFLICT"))
    first = next(places, len(words))
    return "DO" in words[first:]


def _find_returning(tokens: Sequence[Token]) -> int | None:
    """Find the place of the RETURNING clause, if it has a list.

    The bare word is nothing else: SQLite reserves it, so a column of that name has to be quoted.
    """
    place = next((place for place, token in enumerate(tokens) if token.keyword == "RETURNING"), len(tokens))
    return place if place + 1 < len(tokens) else None


def _keep(piece: Sequence[Token], everything: Sequence[Token], tokens: Sequence[Token]) -> Text:
    """Give the whole statement with the service's names rewritten."""
    style: Style = "pragma" if tokens and tokens[0].keyword == "PRAGMA" else ddl.style(tokens)
    parameters = _number(everything).names
    sql = _render(piece, rewrite(tokens, style))
    return Text(sql=sql, kind="OTHER", parameters=parameters, sql_parameters=tuple(range(1, len(parameters) + 1)))


def _cut(piece: Sequence[Token], everything: Sequence[Token], returning: Token) -> Text:
    """Give the statement without its RETURNING clause, and the list of that."""
    place = everything.index(returning)
    body, columns = everything[:place], everything[place + 1 :]
    _check_own_names(columns)
    numbers = _number(everything)
    body_changes, body_parameters = _renumber(body, numbers)
    columns_changes, columns_parameters = _renumber(columns, numbers)
    end = columns[-1].position
    return Text(
        sql=_render(
            [token for token in piece if token.position < returning.position], body_changes | rewrite(body, "qualified")
        ),
        kind="OTHER",
        returning=_render(
            [token for token in piece if returning.position < token.position <= end],
            columns_changes | rewrite(columns, "result"),
        ),
        parameters=numbers.names,
        sql_parameters=body_parameters,
        returning_parameters=columns_parameters,
    )


def _check_own_names(columns: Sequence[Token]) -> None:
    """Refuse the names by which the driver itself reads the rows that a RETURNING list is about."""
    own = next((token.name for token in columns if token.is_name and token.name.startswith(RETURNED_PREFIX)), None)
    if own is not None:
        raise ProgrammingError(f"no such table: {own}")


def _render(tokens: Sequence[Token], changes: dict[int, str]) -> str:
    return "".join(changes.get(token.position, token.text) for token in trim(tokens))


@dataclass(frozen=True)
class _Numbers:
    """The parameters of a statement: the number of each token, and the name of each number."""

    by_token: dict[int, int]
    names: tuple[str | None, ...]


def _number(tokens: Sequence[Token]) -> _Numbers:
    """Number parameters as SQLite does (https://www.sqlite.org/lang_expr.html#varparam).

    ``?`` and each new name get one more than the largest number so far.
    """
    by_token: dict[int, int] = {}
    named: dict[str, int] = {}
    largest = 0
    for token in tokens:
        if token.type != "parameter":
            continue
        number = _written_number(token) or largest + 1
        if token.text[0] != "?":
            number = named.setdefault(token.text, number)
        by_token[token.position] = number
        largest = max(largest, number)
    if largest > _MOST_PARAMETERS:
        raise _too_long(f"parameters up to number {largest:,}", f"{_MOST_PARAMETERS:,}")
    names = {number: text[1:] for text, number in named.items()}
    return _Numbers(by_token, tuple(names.get(number) for number in range(1, largest + 1)))


def _written_number(token: Token) -> int:
    """Give the number of ``?NNN``, or 0."""
    digits = token.text[1:].lstrip("0") if token.text[0] == "?" else ""
    return int(digits[:_DIGITS] or 0)


def _renumber(tokens: Sequence[Token], numbers: _Numbers) -> tuple[dict[int, str], tuple[int, ...]]:
    """Give each parameter of a part a number of that part's own, and the numbers they had."""
    places: dict[int, int] = {}
    changes: dict[int, str] = {}
    for token in tokens:
        number = numbers.by_token.get(token.position)
        if number is not None:
            changes[token.position] = f"?{places.setdefault(number, len(places) + 1)}"
    return changes, tuple(places)
