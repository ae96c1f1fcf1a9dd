"""Random SELECTs over messages, threads and local tables, as trees."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from .query import Arm, Cte, Key, Logic, Piece, Predicate, Select, Source, Star, Term, Value
from .world import BASE, THREADS, UNKNOWN

T = TypeVar("T")

_TEXTS = ("user", "USER", "assistant", "run_1", "RUN_1", "completed", "7", "07", "", "abc", "5", "thread.message")
_MIXED = (5, 7, 5.0, 7.0, 1.5, b"user", b"5", None, True, 0, -1)
_TIMES = (
    *(BASE + n for n in range(-1, 8)),
    *(BASE + n for n in range(1, 6)),
    *(float(BASE + n) for n in (0, 2, 5)),
    *(BASE + n + 0.5 for n in (-1, 1, 3)),
    *("1700000003", " 1700000003 ", "1.7e9", "1700000002.5", "+1700000001", "1700000004abc", "1_700_000_003"),
    *("1e3", "abc", "", "0x6553f100", "nan", "inf", "99999999999999999999", "٣", " 5 ", "5\x00"),
    *(b"1700000003", b"", None, 2**63 - 1, -(2**63), 9.3e18, -9.3e18, float("inf"), -float("inf"), 1e300, 0, 3, -1),
)
_NEAR = tuple(BASE + n / 2 for n in range(-2, 15))
_STAMPS = tuple(f"2023-11-14 22:13:{second}" for second in range(19, 28))  # BASE is 22:13:20
_MOMENTS = (
    *_STAMPS,
    *_STAMPS,
    *("2023-11-14T22:13:22", "2023-11-14 22:13:22.500000", "2023-11-14 22:13:22Z", "2023-11-14 22:13:2", "2023-11-14"),
    *("2023-11", "2023", "2", "1970-01-01 00:00:03", "1970-01-01 00:00:07", "1970-01-01", "-1", "", " ", "zzz", "é"),
    *("2023-11-14 22:13:23\x00", "2023-11-14 22:13:23 ", "9999-12-31 23:59:59", "9999-12-31 23:59:59.5", "0001-01-01"),
    *(BASE + 2, 5, 2023, 2024, 2023.5, -1, 3.0, 1e300, float("inf"), 2**63 - 1, None),
    *(b"2023-11-14 22:13:22", b"", b"2", b"z"),
)
# Their texts are between the times of old messages and of the others.
_NUMBERS_BETWEEN = (2000, 2000.5, 1999, 1_980_000_000)
_BLOBS = (b"", b"2", b"2023-11-14 22:13:22", b"\xff")
_PADDED = tuple(f"{stamp}  " for stamp in _STAMPS)
_NEAR_MOMENTS = (*_STAMPS, *(f"{stamp}.500000" for stamp in _STAMPS), "2023-11-14T22:13:23")
_COMPARISONS = ("=", "<", "<=", ">", ">=", "<>", "==", "IS", "IS NOT", "!=")
_TEXT_COLUMNS = ("role", "status", "run_id", "object", "assistant_id", "id")
_SPELLINGS = (
    "messages",
    "openai.assistants.messages",
    '"openai.assistants".messages',
    "assistants.messages",
    "[Messages]",
    "OpenAI . Assistants /* c */ . MESSAGES",
)
_LIMITS = (0, 1, 1, 2, 3, 5, 7, 10, 25, 1000, -1, 2**40)
_OFFSETS = (0, 1, 2, 3, 5, 11, 100, -1)
# What a transcript has in the place of a column of messages.
_IN_TRANSCRIPT = {
    "created_at": "created",
    "completed_at": "created",
    "content": "text",
    "content_text": "text",
    "status": "role",
    "object": "text",
    "attachments": "metadata",
    "incomplete_details": "metadata",
}


# How many of the references to messages are to their transcript.
_TRANSCRIPTS = 0.3


def _is_transcript(alias: str) -> bool:
    return alias.startswith("w")


def _table(alias: str) -> str:
    return "transcript" if _is_transcript(alias) else "messages"


def _column(alias: str, name: str) -> str:
    """Name a column of messages as the form of an alias has it."""
    return f"{alias}.{_IN_TRANSCRIPT.get(name, name) if _is_transcript(alias) else name}"


def _time(alias: str) -> str:
    return _column(alias, "created_at")


class Generator:
    """Make queries, each from the numbers of one Random."""

    def __init__(self, random: Random, ids: dict[str, list[str]]) -> None:
        self._random = random
        self._ids = ids
        self._all_ids = [message for found in ids.values() for message in found]
        self._aliases = 0

    def query(self) -> Select:
        """Make one query."""
        kinds: list[tuple[int, Callable[[], Select]]] = [
            (18, self._plain),
            (14, self._pushed),
            (22, self._joined),
            (12, self._aggregated),
            (6, self._windowed),
            (8, self._compound),
            (8, self._nested),
            (5, self._with),
            (3, self._recursive),
            (6, self._threads),
            (6, self._parameters),
            (4, self._keyed),
            (4, self._viewed),
            (3, self._keyset),
            (10, self._timed),
            (4, self._split),
            (6, self._first_few),
            (3, self._either),
            (3, self._latest),
        ]
        return self._random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]()

    # Choosing

    def _one(self, items: Sequence[T]) -> T:
        return self._random.choice(items)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _value(self, value: Any) -> Value:
        return Value(value, bound=self._chance(0.4) or (isinstance(value, str) and "\x00" in value))

    def _alias(self, like: str | None = None) -> str:
        """Make an alias, whose letter says of which form of the messages it is; ``like`` is one of the same form."""
        self._aliases += 1
        is_transcript = self._chance(_TRANSCRIPTS) if like is None else _is_transcript(like)
        return f"{'w' if is_transcript else self._one('abmtx')}{self._aliases}"

    def _messages(self, alias: str, join: str = "", on: tuple[Predicate, ...] = ()) -> Source:
        spelling = self._one(_SPELLINGS)
        if _is_transcript(alias):
            spelling = re.sub("messages", "transcript", spelling, flags=re.IGNORECASE)
        return Source(_table(alias), alias, join, on, spelling)

    # Values of the columns

    def _thread(self) -> str:
        return self._one((*THREADS, *THREADS, *UNKNOWN))

    def _thread_value(self) -> Value:
        if self._chance(0.1):
            return self._value(self._one((5, 5.0, 5.5, b"5", None, 7)))
        return self._value(self._thread())

    def _text_value(self) -> Value:
        return self._value(self._one((*_TEXTS, *_TEXTS, *_MIXED, *self._all_ids[:4])))

    def _id_value(self) -> Value:
        if self._chance(0.1):
            return self._value(self._one((*_MIXED, "nothing", ".", "a/b")))
        return self._value(self._one(self._all_ids))

    # Terms

    def _thread_terms(self, a: str) -> list[tuple[int, Callable[[], Term]]]:
        named = frozenset({a})
        column = f"{a}.thread_id"

        def equal() -> Term:
            value = self._thread_value()
            operator = self._one(("=", "=", "==", "IS"))
            pieces: tuple[Piece, ...] = (column, f" {operator} ", value)
            if operator != "IS" and self._chance(0.2):
                pieces = (value, " = ", column)
            return Term(pieces, named, single=True)

        def listed() -> Term:
            values = [self._thread_value() for _ in range(self._random.randint(1, 4))]
            return Term((f"{column} IN (", *_commas(values), ")"), named)

        def bound_list() -> Term:
            values = tuple(self._thread() for _ in range(self._random.randint(0, 5)))
            return Term((f"{column} IN (SELECT value FROM json_each(", Value(values), "))"), named)

        def selected() -> Term:
            return Term((f"{column} IN ", self._thread_ids()), named)

        def scalar() -> Term:
            return Term((f"{column} = ", self._thread_id()), named, single=True)

        def row_value() -> Term:
            time = "2023-11-14 22:13:22" if _is_transcript(a) else BASE + 2
            other, value = self._one((("role", "user"), ("run_id", "run_1"), ("created_at", time)))
            return Term(
                (f"({column}, {_column(a, other)}) = (", self._thread_value(), ", ", self._value(value), ")"), named
            )

        def row_values() -> Term:
            rows: list[Piece] = []
            for _ in range(self._random.randint(1, 3)):
                rows += [", (" if rows else "(", self._thread_value(), ", ", self._near_value(a), ")"]
            return Term((f"({column}, {_time(a)}) IN (VALUES ", *rows, ")"), named)

        return [
            *((8, equal), (4, listed), (2, bound_list), (3, selected), (2, scalar), (1, row_value)),
            (1, row_values),
        ]

    def _thread_term(self, a: str) -> Predicate:
        """Name the thread of an alias in one of the ways that count."""
        terms = self._thread_terms(a)
        if self._chance(0.1):
            branches = tuple(self._branch(a) for _ in range(self._random.randint(2, 3)))
            return Logic("OR", branches)
        return self._random.choices([term for _, term in terms], [weight for weight, _ in terms])[0]()

    def _branch(self, a: str) -> Predicate:
        terms = self._thread_terms(a)
        term = self._random.choices([term for _, term in terms], [weight for weight, _ in terms])[0]()
        return Logic("AND", (term, *(self._term(a) for _ in range(self._random.randint(1, 2)))))

    def _thread_ids(self) -> Select:
        """Make a list of threads."""
        if self._chance(0.5):
            where = (self._threads_term("t0"),) if self._chance(0.5) else ()
            return Select((self._one(("t0.id", "t0.thread_id")),), (Source("threads", "t0"),), where)
        where = (Term(("p0.n < ", self._value(self._random.randint(0, 7)))),) if self._chance(0.5) else ()
        return Select(("p0.tid",), (Source("picks", "p0"),), where)

    def _thread_id(self) -> Select:
        """Make a query for one thread."""
        if self._chance(0.5):
            return Select((self._one(("min(t0.id)", "max(t0.id)")),), (Source("threads", "t0"),))
        order = (Key(Term(("p0.n",))), Key(Term(("p0.tid",))))
        return Select(("p0.tid",), (Source("picks", "p0"),), (), order=order, limit=Value(1))

    def _unnaming_term(self, a: str) -> Term:
        """Speak of a thread without naming it."""
        value = self._thread_value()
        mentions = frozenset({a})
        column = f"{a}.thread_id"
        options: list[tuple[Piece, ...]] = [
            (f"{column} {self._one(('>', '<=', '<>', '>='))} ", value),
            (f"{column} LIKE ", Value(self._one(("thread%", "5", "%A", "05", "x")))),
            (f"{column} GLOB ", Value(self._one(("thread*", "[05]*", "5")))),
            (f"{column} = ", value, " COLLATE NOCASE"),
            (f"{column} COLLATE NOCASE = ", value),
            (f"{column} COLLATE NOCASE IN (", value, ", 'Thread_A')"),
            (f"{column} NOT IN (", value, ", '5')"),
            (f"{column} NOT IN ", self._thread_ids()),
            (f"{column} BETWEEN ", value, " AND 'u'"),
            (f"+{column} = ", value),
            (f"{column} || '' = ", value),
            (f"{column} IS NOT ", value),
            (f"{column} NOTNULL",),
            (f"{column} IS NULL",),
        ]
        return Term(self._one(options), mentions=mentions)

    def _time_value(self, a: str) -> Value:
        return self._value(self._one(_MOMENTS if _is_transcript(a) else _TIMES))

    def _near_value(self, a: str) -> Value:
        return self._value(self._one(_NEAR_MOMENTS if _is_transcript(a) else _NEAR))

    def _number(self, value: Value) -> tuple[Piece, ...]:
        """Make a number of a value, which gives the other side of a comparison numeric affinity too."""
        return (f"CAST({self._one(('5 + ', '', ''))}", value, f" AS {self._one(('INTEGER', 'NUMERIC', 'REAL'))})")

    def _second_value(self, a: str) -> Value:
        """Give one of the times that messages have."""
        second = self._random.randint(0, 6)
        return self._value(_STAMPS[1 + second] if _is_transcript(a) else BASE + second)

    def _time_term(self, a: str) -> Term:
        def value() -> Value:
            return self._time_value(a)

        column, z = _time(a), self._alias()
        options: list[tuple[Piece, ...]] = [
            (f"{column} {self._one(_COMPARISONS)} ", value()),
            (f"{column} {self._one(_COMPARISONS)} ", *self._number(value())),
            (value(), f" {self._one(('<', '>', '<=', '>=', '='))} {column}"),
            (f"{column} {self._one(('', 'NOT '))}BETWEEN ", value(), " AND ", value()),
            (f"{column} > ", value(), f" AND {column} <= ", value()),
            (f"{column} {self._one(('', 'NOT '))}IN (", value(), ", ", value(), ", ", value(), ")"),
            (f"{column} IN (SELECT {self._one(('at', 'at + 1'))} FROM picks)",),
            (f"{column} IN (SELECT {self._one('itx')} FROM nums)",),
            (f"{column} + 0 {self._one(_COMPARISONS)} ", value()),
            (f"({column}, {a}.id) {self._one(('>', '<', '<=', '='))} (", value(), ", ", self._id_value(), ")"),
            (f"{column} COLLATE NOCASE {self._one(_COMPARISONS)} ", value()),
            (f"{column} {self._one(('>', '<=', '='))} (SELECT max(at) FROM picks)",),
            (f"{column} {self._one(('IS NULL', 'NOTNULL'))}",),
            (f"{column} % 2 = ", self._value(self._one((0, 1)))),
            (f"{column} = ", Select((f"max({_time(z)})",), (self._messages(z),), (_link(a, z, outer=True),))),
            (
                f"{column} {self._one(('LIKE', 'GLOB', 'LIKE'))} ",
                self._value(self._one(("2023%", "2023*", "%:2_", "17*"))),
            ),
        ]
        return Term(self._one(options))

    def _id_term(self, a: str) -> Term:
        column = f"{a}.{self._one(('id', 'message_id', 'id'))}"
        values = [self._id_value() for _ in range(self._random.choice((1, 2, 3, 12)))]
        options: list[tuple[Piece, ...]] = [
            (f"{column} = ", self._id_value()),
            (f"{column} IN (", *_commas(values), ")"),
            (f"{column} IN (SELECT message_id FROM notes WHERE stars IS NOT ", self._value(self._one((1, None))), ")"),
            (f"{column} NOT IN (", *_commas(values), ")"),
            (f"{column} IS ", self._id_value()),
            (f"{column} COLLATE NOCASE = ", self._id_value()),
            (f"{column} LIKE ", Value("msg%")),
            (f"({a}.thread_id, {column}) IN (VALUES ('5', ", self._id_value(), "), ('one', ", self._id_value(), "))"),
            (f"{column} = (SELECT max(message_id) FROM notes)",),
        ]
        pieces = self._one(options)
        return Term(pieces, names=frozenset({a}) if "VALUES" in str(pieces) else frozenset(), keys=True)

    def _text_term(self, a: str) -> Term:
        column = _column(a, self._one(_TEXT_COLUMNS))
        value = self._text_value
        values = [value() for _ in range(self._random.randint(1, 4))]
        options: list[tuple[Piece, ...]] = [
            (f"{column} = ", value()),
            (f"{column} = ", self._value(self._one(("user", "assistant", "run_1", "completed")))),
            (f"{column} {self._one(_COMPARISONS)} ", value()),
            (value(), f" {self._one(('<', '=', '>='))} {column}"),
            (f"{column} COLLATE NOCASE = ", value()),
            (f"{column} = ", value(), " COLLATE NOCASE"),
            (f"{column} COLLATE NOCASE IN (", *_commas(values), ")"),
            (f"{column} {self._one(('', 'NOT '))}IN (", *_commas(values), ")"),
            (f"{column} {self._one(('', 'NOT '))}IN (SELECT {self._one('itx')} FROM nums)",),
            (
                f"{column} {self._one(('LIKE', 'NOT LIKE', 'GLOB'))} ",
                self._value(self._one(("r%", "u*", "%e_", "RUN%"))),
            ),
            (f"{column} {self._one(('IS NULL', 'NOTNULL', 'IS NOT NULL'))}",),
            (f"{column} BETWEEN ", value(), " AND ", value()),
            (f"({column}, {_column(a, 'status')}) {self._one(('=', '>'))} (", value(), ", 'completed')"),
            (f"upper({column}) = ", value()),
            (f"coalesce({column}, '') = ", value()),
            (f"CASE WHEN {column} = 'user' THEN 1 WHEN {a}.run_id IS NULL THEN 0 END",),
        ]
        return Term(self._one(options), keys=column.endswith(".id"))

    def _json_term(self, a: str) -> Term:
        if _is_transcript(a):
            return self._said_term(a)
        options: list[tuple[Piece, ...]] = [
            (f"{a}.metadata ->> 'k' = ", self._value(self._one(("v", "V")))),
            (f"{a}.metadata {self._one(('=', '<>', 'IS'))} ", self._value("{}")),
            (f"{a}.content_text {self._one(('=', 'LIKE', '>'))} ", self._value(self._one(("hello", "5", "%o%", 5)))),
            (f"json_extract({a}.content, '$[0].text.value') LIKE ", self._value("hello%")),
            (f"json_array_length({a}.content) > ", self._value(1)),
            (f"{a}.data__role = ", self._value("user")),
            (f"{a}.incomplete_details IS NOT NULL",),
            (f"EXISTS (SELECT 1 FROM json_each({a}.metadata) AS j WHERE j.value = ", self._value("5"), ")"),
            (f"length({a}.content) > ", self._value(80)),
            (f"{a}.completed_at {self._one(_COMPARISONS)} ", self._value(self._one((BASE + 3, "5", None, 5.0)))),
            (f"{a}.attachments = '[]'",),
        ]
        pieces = self._one(options)
        role = "data__role" in str(pieces)
        oracle = (f"{a}.role = ", *pieces[1:]) if role else None
        return Term(pieces, oracle=oracle)

    def _said_term(self, a: str) -> Term:
        options: list[tuple[Piece, ...]] = [
            (f"{a}.text {self._one(('=', 'LIKE', '>', 'IS'))} ", self._value(self._one(("hello", "5", "%o%", 5)))),
            (f"{a}.text IN ('hello', ", self._text_value(), ")"),
            (f"{a}.metadata ->> 'k' = ", self._value(self._one(("v", "V")))),
            (f"length({a}.text) > ", self._value(5)),
            (f"date({a}.created) = ", self._value(self._one(("2023-11-14", "1970-01-01")))),
            (f"strftime('%S', {a}.created) > ", self._value("22")),
            (f"unixepoch({a}.created) {self._one(_COMPARISONS)} ", self._value(self._one(_NEAR))),
        ]
        return Term(self._one(options))

    def _subquery_term(self, a: str) -> Term:
        z = self._alias()
        exists = Select(("1",), (self._messages(z),), (_link(a, z, outer=True), self._pairing(a, z)))
        count = Select(("count(*)",), (self._messages(z),), (_link(a, z, outer=True), self._pairing(a, z)))
        note = Select(("1",), (Source("notes", "n0"),), (Term((f"n0.message_id = {a}.id",)), Term(("n0.stars > 0",))))
        ids = Select((f"{z}.id",), (self._messages(z),), (self._thread_term(z), self._term(z)))
        options: list[tuple[Piece, ...]] = [
            (self._one(("", "NOT ")), "EXISTS ", exists),
            (count, f" {self._one(('>', '='))} ", self._value(self._one((0, 1, 2)))),
            (self._one(("", "NOT ")), "EXISTS ", note),
            (f"{a}.id {self._one(('', 'NOT '))}IN ", ids),
            (f"{_time(a)} >= (SELECT min(created_at) FROM of_one)",),
        ]
        pieces = self._one(options)
        return Term(pieces, keys=ids in pieces)

    def _pairing(self, a: str, b: str) -> Term:
        """Compare the messages of two aliases."""
        column = self._one(("run_id", "run_id", "id", "created_at", "role", "status"))
        operator = self._one(("=", "=", "=", "IS", "<", ">="))
        if self._chance(0.1):
            return Term((f"{_time(a)} - {_time(b)} = 1",))
        return Term((f"{_column(a, column)} {operator} {_column(b, column)}",))

    def _term(self, a: str, depth: int = 2) -> Predicate:
        if depth and self._chance(0.18):
            operator = self._one(("OR", "OR", "AND", "NOT"))
            count = 1 if operator == "NOT" else self._random.randint(2, 3)
            return Logic(operator, tuple(self._term(a, depth - 1) for _ in range(count)))
        kinds = [
            (30, self._time_term),
            (30, self._text_term),
            (8, self._id_term),
            (10, self._json_term),
            (5, self._unnaming_term),
            (4 if depth == 2 else 0, self._subquery_term),
            (3, self._thread_leaf),
        ]
        return self._random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0](a)

    def _thread_leaf(self, a: str) -> Term:
        return self._thread_terms(a)[0][1]()

    def _where(self, a: str, named: float = 0.8) -> tuple[Predicate, ...]:
        terms = [self._term(a) for _ in range(self._random.choice((0, 0, 1, 1, 1, 2, 2, 3)))]
        if self._chance(named):
            terms.insert(self._random.randint(0, len(terms)), self._thread_term(a))
        return tuple(terms)

    # Columns and order

    def _columns(self, a: str) -> tuple[Piece, ...]:
        if self._chance(0.35):
            return (Star(self._one((None, a))),)
        names = (
            *("id", "thread_id", "created_at", "role", "run_id", "status", "content", "metadata", "message_id"),
            *("content_text", "completed_at", "assistant_id", "attachments", "incomplete_details", "object"),
        )
        expressions = (
            f"{_time(a)} % 5",
            f"upper({a}.role)",
            f"{a}.metadata ->> 'k'",
            f"{a}.run_id || '-' || {_column(a, 'status')}",
            f"date({a}.created)" if _is_transcript(a) else f"json_extract({a}.content, '$[0].text.value')",
            f"typeof({_time(a)})",
            "1",
            "NULL",
            f"{_column(a, 'content_text')} COLLATE NOCASE",
        )
        chosen = [_column(a, self._one(names)) for _ in range(self._random.randint(1, 4))]
        if self._chance(0.3):
            chosen.append(self._one(expressions))
        return tuple(chosen)

    def _order(self, a: str) -> tuple[Key, ...]:
        if self._chance(0.3):
            return ()
        suffix = self._one(("", " DESC", " DESC", " ASC", " NULLS FIRST", " DESC NULLS LAST", " DESC NULLS FIRST"))
        time = Key(Term((_time(a),)), suffix=suffix)
        if self._chance(0.5):
            return (time,)
        keys = [time] if self._chance(0.6) else []
        for _ in range(self._random.randint(1, 2)):
            keys.insert(self._random.randint(0, len(keys)), self._key(a))
        return tuple(keys)

    def _key(self, a: str) -> Key:
        column = self._one(("id", "thread_id", "role", "run_id", "status", "thread_id", "id"))
        if self._chance(0.15):
            return Key(Term((self._one((f"{_time(a)} % 3", f"+{_time(a)}", f"length({_column(a, 'content')})")),)))
        nocase = self._chance(0.25)
        return Key(Term((_column(a, column),)), nocase=nocase, suffix=self._one(("", " DESC", " NULLS LAST")))

    def _limits(self, chance: float = 0.4) -> dict[str, Any]:
        if not self._chance(chance):
            return {}
        limit = self._value(self._one(_LIMITS))
        offset = self._value(self._one(_OFFSETS)) if self._chance(0.4) else None
        return {"limit": limit, "offset": offset}

    # Whole queries

    def _plain(self) -> Select:
        a = self._alias()
        return Select(
            self._columns(a),
            (self._messages(a),),
            self._where(a, 0.85),
            order=self._order(a),
            **self._limits(),
        )

    def _pushed(self) -> Select:
        """Ask what the service can answer alone: few exact terms, an order, a limit."""
        a = self._alias()
        where: list[Predicate] = [self._thread_term(a)]
        if self._chance(0.5):
            value = self._time_value(a) if self._chance(0.5) else self._near_value(a)
            side = self._number(value) if self._chance(0.2) else (value,)
            where.append(Term((f"{_time(a)} {self._one(('=', '<', '<=', '>', '>=', 'IS'))} ", *side)))
        if self._chance(0.2):
            where.append(Term((f"{a}.run_id = ", self._value(self._one(("run_1", "7", "RUN_1", 7))))))
        if self._chance(0.25):
            operator, value = self._one(("<", "<=", ">", ">=")), self._second_value(a)
            where.append(Term((f"({_time(a)}, {a}.id) {operator} (", value, ", ", self._id_value(), ")")))
        orders: list[tuple[Key, ...]] = [
            (Key(Term((f"{a}.thread_id",))), Key(Term((_time(a),)), suffix=self._one(("", " DESC")))),
            (Key(Term((_time(a),))), Key(Term((f"{a}.id",)))),
            (Key(Term((_time(a),)), suffix=" DESC"),),
            (self._key(a),),
            (),
            self._order(a),
        ]
        self._random.shuffle(where)
        columns, source = self._columns(a), self._messages(a)
        return Select(columns, (source,), tuple(where), order=self._one(orders), **self._limits(0.6))

    def _keyset(self) -> Select:
        """Ask for the next few messages after one, as applications page."""
        a = self._alias()
        named = Term((f"{a}.thread_id = ", self._value(self._one(THREADS))), frozenset({a}), single=True)
        operator, value = self._one(("<", "<=", ">", ">=")), self._second_value(a)
        after = Term((f"({_time(a)}, {a}.id) {operator} (", value, ", ", self._id_value(), ")"))
        suffix = self._one(("", " DESC"))
        order = tuple(Key(Term((_column(a, name),)), suffix=suffix) for name in ("created_at", "id"))
        limit, offset = self._value(self._random.randint(1, 5)), self._one((None, None, self._value(1)))
        columns = self._columns(a)
        kept = order[: self._random.randint(0, 2)]
        return Select(columns, (self._messages(a),), (named, after), order=kept, limit=limit, offset=offset)

    def _first_few(self) -> Select:
        """Ask for a few rows in an order that is not the listing's, by terms that the service can answer alone."""
        a = self._alias()
        where: list[Predicate] = [self._random.choice(self._thread_terms(a)[:2])[1]()]
        if self._chance(0.4):
            value = self._value(None) if self._chance(0.1) else self._second_value(a)
            where.append(Term((f"{_time(a)} {self._one(('<', '>'))} ", value)))
        key, time = self._key(a), Key(Term((_time(a),)), suffix=self._one(("", " DESC")))
        order = self._one(((key,), (key, time), (time, key), (Key(Term((f"{a}.thread_id",))), time)))
        limit, offset = self._value(self._random.randint(1, 5)), self._one((None, None, self._value(1)))
        return Select(self._columns(a), (self._messages(a),), tuple(where), order=order, limit=limit, offset=offset)

    def _timed(self) -> Select:
        """Ask for the first or last of a transcript, of old messages and others, by one comparison of its time."""
        a = self._alias(like="w")
        threads = [self._value("old"), self._value(self._one(THREADS))]
        named = Term((f"{a}.thread_id IN (", *_commas(threads), ")"), frozenset({a}))
        time = Term((f"{a}.created ", *self._one(self._moment_comparisons())()))
        order = (Key(Term((f"{a}.created",)), suffix=self._one(("", " DESC"))),)
        limit, offset = self._value(self._random.randint(1, 5)), self._one((None, self._value(1), self._value(2)))
        return Select(self._columns(a), (self._messages(a),), (named, time), order=order, limit=limit, offset=offset)

    def _moment_comparisons(self) -> tuple[Callable[[], tuple[Piece, ...]], ...]:
        """Compare with what is another thing as a text than as a number, or than to the last blank."""

        def moment() -> tuple[Piece, ...]:
            return (f"{self._one(_COMPARISONS)} ", self._value(self._one((*_MOMENTS, *_PADDED))))

        def second() -> tuple[Piece, ...]:
            return (f"{self._one(('>', '>', '<=', '>=', '<'))} ", Value(self._one(_STAMPS[1:8])))

        def number() -> tuple[Piece, ...]:
            return (f"{self._one(('>', '>', '>=', '<'))} ", self._value(self._one(_NUMBERS_BETWEEN)))

        def numeric() -> tuple[Piece, ...]:
            value = self._value(self._one(_NUMBERS_BETWEEN))
            return (f"{self._one(('>', '>=', '<', '<='))} ", *self._number(value))

        def padded() -> tuple[Piece, ...]:
            operator = self._one(("=", "IS", ">=", ">", "<", "<="))
            return (f"{operator} ", self._value(self._one(_PADDED[1:8])), " COLLATE RTRIM")

        def blob() -> tuple[Piece, ...]:
            return (f"{self._one(('<', '<=', '<', '>', '<>'))} ", self._value(self._one(_BLOBS)))

        return moment, second, number, numeric, padded, blob

    def _split(self) -> Select:
        """Ask for either of two things beside a thread that a subquery names: for SQLite to scan twice, or not."""
        a = self._alias()
        branches: tuple[Predicate, ...] = tuple(self._selective_term(a) for _ in range(self._random.randint(2, 3)))
        operator, threads = self._one((("IN", self._thread_ids), ("=", self._thread_id), ("=", self._thread_id)))
        named = Term((f"{a}.thread_id {operator} ", threads()), frozenset({a}), single=operator == "=")
        where: list[Predicate] = [Logic("OR", branches), named]
        if self._chance(0.2):
            where.append(self._selective_term(a))
        self._random.shuffle(where)
        return Select(self._columns(a), (self._messages(a),), tuple(where), order=self._order(a), **self._limits())

    def _either(self) -> Select:
        """Ask for what either of two threads has: for SQLite to scan each, and to tell the rows apart by their key."""
        a = self._alias()
        branches = tuple(self._named_branch(a) for _ in range(self._random.randint(2, 3)))
        return Select((Star(),), (self._messages(a),), (Logic("OR", branches),), order=self._order(a))

    def _named_branch(self, a: str) -> Logic:
        named = Term((f"{a}.thread_id = ", self._value(self._one(THREADS))), frozenset({a}))
        return Logic("AND", (named, self._selective_term(a)))

    def _latest(self) -> Select:
        """Ask beside each message for the time of the first or last that is like it."""
        a = self._alias()
        b = self._alias(like=a)
        alike = self._one(("role", "run_id", "run_id", "status"))
        like = (_link(a, b, outer=True), Term((f"{_column(b, alike)} = {_column(a, alike)}",)))
        order = (Key(Term((_time(b),)), suffix=self._one(("", " DESC", " DESC"))),)
        found = Select((_time(b),), (self._messages(b),), like, order=order, limit=self._value(1))
        named = Term((f"{a}.thread_id = ", self._value(self._one(THREADS))), frozenset({a}), single=True)
        return Select((f"{a}.id", found), (self._messages(a),), (named,), order=self._order(a))

    def _selective_term(self, a: str) -> Term:
        """Make a term that the service can answer, or the driver in its place."""
        column = _column(a, self._one(("role", "run_id", "status", "created_at")))
        if column == _time(a):
            return Term((f"{column} {self._one(('=', '=', '<', '>'))} ", self._second_value(a)))
        return Term((f"{column} = ", self._value(self._one(("user", "assistant", "run_1", "7", "completed")))))

    def _viewed(self) -> Select:
        """Read a view of all messages, or of one thread."""
        a = self._alias()
        if self._chance(0.3) and not _is_transcript(a):
            return Select((Star(),), (Source("of_one", a),), self._outer_where(a, named=False), order=self._order(a))
        columns = (Star(),) if self._chance(0.5) else (f"{a}.id", _time(a))
        where = self._outer_where(a, named=True)
        return Select(columns, (Source(f"all_{_table(a)}", a),), where, order=self._order(a), **self._limits())

    def _keyed(self) -> Select:
        """Read single messages, many of them, or see whether they are there."""
        a = self._alias()
        thread = self._one([thread for thread in THREADS if thread != "empty"])
        values = [self._value(key) for key in (*self._ids[thread], *self._all_ids[:3], "nothing")]
        term = Term((f"{a}.id IN (", *_commas(values), ")"), keys=True)
        named = Term((f"{a}.thread_id = ", self._value(thread)), frozenset({a}), single=True)
        if self._chance(0.4):
            return Select((f"{a}.id", f"{a}.thread_id"), (self._messages(a),), (named, term))
        more = (Term((f"{_time(a)} {self._one(('<', '>'))} ", self._second_value(a))),) if self._chance(0.5) else ()
        where = (named, term, *more)
        return Select(self._columns(a), (self._messages(a),), where, order=self._order(a), **self._limits())

    def _parameters(self) -> Select:
        """Use the parameters of the listing."""
        a = self._alias()
        thread = self._one([thread for thread in THREADS if thread != "empty"])
        descending = self._chance(0.5)
        terms = [Term((f"{a}.thread_id = ", self._value(thread)), frozenset({a}), single=True)]
        if descending or self._chance(0.3):
            word = "desc" if descending else "asc"
            terms.append(Term((f'{a}."order" = ', self._value(word)), oracle=("1",), reorders=descending))
        if self._chance(0.3):
            terms.append(Term((f'{a}."limit" = ', self._value(self._random.randint(1, 9))), oracle=("1",)))
        for name in self._one((("after",), ("before",), ("after", "before"), ())):
            terms.append(self._cursor_term(a, thread, name, descending))
        if self._chance(0.5):
            terms.append(self._one((self._time_term, self._text_term))(a))
        self._random.shuffle(terms)
        return Select(self._columns(a), (self._messages(a),), tuple(terms), order=self._order(a), **self._limits())

    def _cursor_term(self, a: str, thread: str, name: str, descending: bool) -> Term:
        value = self._value(self._one(self._ids[thread]))
        operator = ">" if (name == "after") != descending else "<"
        time = _time(a).partition(".")[2]
        place = (f"(SELECT z.{time}, z._seq FROM {_table(a)} AS z WHERE z.id = ", value, ")")
        return Term((f"{a}.{name} = ", value), oracle=(f"({_time(a)}, {a}._seq) {operator} ", *place))

    def _joined(self) -> Select:
        a = self._alias()
        sources: list[Source] = []
        where: list[Predicate] = []
        first = self._one(("messages", "messages", "local", "local", "threads"))
        if first == "messages":
            sources.append(self._messages(a))
            where.append(self._thread_term(a))
            self._join_further(a, sources, where)
        else:
            self._join_to_local(a, sources, where, "threads" if first == "threads" else "picks")
            if self._chance(0.3):
                self._join_further(a, sources, where)
        where += [self._term(a) for _ in range(self._one((0, 1, 1, 2)))]
        columns: tuple[Piece, ...] = tuple(
            f"{source.alias}.{self._one(_SOME_COLUMNS[str(source.table)])}"
            for source in sources
            for _ in range(self._random.randint(1, 2))
            if isinstance(source.table, str)
        )
        columns = (Star(),) if self._chance(0.15) else columns
        return Select(columns, tuple(sources), tuple(where), order=self._order(a), **self._limits(0.25))

    def _join_to_local(self, a: str, sources: list[Source], where: list[Predicate], table: str) -> None:
        """Begin with a list of threads and join their messages."""
        t = self._alias()
        column = {"picks": "tid", "threads": "id"}[table]
        named = frozenset({a})
        on = Term(self._one(((f"{a}.thread_id = {t}.{column}",), (f"{t}.{column} = {a}.thread_id",))), named)
        join = self._one(("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "CROSS JOIN"))
        sources.append(Source(table, t))
        more = (self._term(a, 1),) if self._chance(0.3) else ()
        if join == "JOIN" and self._chance(0.3):
            sources[:0] = [self._messages(a)]
            sources[1] = Source(table, t, "JOIN", (on, *more))
        else:
            sources.append(self._messages(a, join, (on, *more)))
        if self._chance(0.3):
            where.append(
                Term((f"{_time(a)} {self._one(('=', '<', '>='))} {t}.{'at' if table == 'picks' else 'created_at'}",))
            )
        if table == "picks" and self._chance(0.4):
            where.append(Term((f"{t}.n <= ", self._value(self._random.randint(0, 7)))))

    def _join_further(self, a: str, sources: list[Source], where: list[Predicate]) -> None:
        b = self._alias()
        kind = self._one(("self", "self", "self", "notes", "nums", "threads", "derived"))
        join = self._one(("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "CROSS JOIN", ","))
        if kind == "self":
            on: tuple[Predicate, ...] = (_link(a, b), self._pairing(a, b))
            if self._chance(0.3):
                where.append(Term((f"{self._one((a, b))}.run_id = ", self._value(self._one(("run_1", "7", "RUN_1"))))))
            source = self._messages(b, join, on)
        elif kind == "notes":
            pairing = self._one((f"{b}.message_id = {a}.id", f"{a}.message_id = {b}.message_id"))
            source = Source("notes", b, join, on := (Term((pairing,), keys=True),))
        elif kind == "nums":
            column = self._one(("role", "run_id", "created_at", "id", "completed_at"))
            operator = self._one(("=", "=", "=", ">", "IS"))
            source = Source(
                "nums", b, join, on := (Term((f"{_column(a, column)} {operator} {b}.{self._one('itx')}",)),)
            )
        elif kind == "threads":
            source = Source("threads", b, join, on := (Term((f"{b}.id = {a}.thread_id",), mentions=frozenset({a})),))
        else:
            inner = self._alias(b)
            derived = Select((Star(),), (self._messages(inner),), (self._thread_term(inner),))
            join = self._one(("RIGHT JOIN", "FULL JOIN", "LEFT JOIN", "JOIN"))
            source = Source(derived, b, join, on := (self._pairing(a, b),))
        if join == ",":
            where += on
            source = Source(source.table, b, ",", (), source.spelling)
        sources.append(source)

    def _aggregated(self) -> Select:
        a = self._alias()
        aggregates = (
            *("count(*)", f"count({a}.run_id)", f"min({_time(a)})", f"max({_time(a)})"),
            *(f"count(DISTINCT {a}.role)", f"group_concat({a}.id, ',' ORDER BY {_time(a)}, {a}.id)"),
            *(f"sum({_time(a)} % 7)", f"max({a}.id)", f"total({_column(a, 'completed_at')})"),
            *(f"count(*) FILTER (WHERE {a}.role = 'user')", f"avg({_time(a)} % 2)"),
        )
        groups = self._one(((), (), ("role",), ("thread_id",), ("run_id",), ("role", "status"), ("created_at",)))
        columns = [_column(a, name) for name in groups]
        columns += [self._one(aggregates) for _ in range(self._random.randint(1, 2))]
        if self._chance(0.25):
            return self._distinct(a)
        having = (Term(("count(*) > ", self._value(self._one((0, 1, 3))))),) if groups and self._chance(0.3) else ()
        order: tuple[Key, ...] = ()
        if groups and self._chance(0.5):
            order = (Key(Term((self._one(columns),)), suffix=self._one(("", " DESC"))),)
        group = tuple(Term((_column(a, name),)) for name in groups)
        limits = self._limits(0.2)
        return Select(
            tuple(columns),
            (self._messages(a),),
            self._where(a, 0.85),
            group=group,
            having=having,
            order=order,
            **limits,
        )

    def _distinct(self, a: str) -> Select:
        columns = [_column(a, self._one(("role", "created_at", "run_id", "thread_id", "status"))) for _ in range(2)]
        order: tuple[Key, ...] = ()
        if self._chance(0.6):
            numbers = self._random.sample((1, 2), self._random.randint(1, 2))
            order = tuple(Key(Term(()), number, suffix=self._one(("", " DESC"))) for number in numbers)
        where = self._where(a, 0.85)
        return Select(tuple(columns), (self._messages(a),), where, order=order, distinct=True, **self._limits())

    def _windowed(self) -> Select:
        a = self._alias()
        total = f"ORDER BY {_time(a)}{self._one(('', ' DESC'))}, {a}.thread_id, {a}.id"
        by = f"PARTITION BY {a}.{self._one(('thread_id', 'role', 'run_id'))} "
        functions = (
            f"row_number() OVER ({by}{total})",
            f"row_number() OVER ({total})",
            f"lag({a}.id) OVER ({by}{total})",
            f"lead({_time(a)}, 2) OVER ({total})",
            f"count(*) OVER ({by})",
            f"sum({_time(a)} % 7) OVER ({by}{total} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
            f"rank() OVER ({by}ORDER BY {_time(a)})",
            f"max({_time(a)}) OVER ({by}ORDER BY {_time(a)})",
            f"first_value({a}.id) OVER ({by}{total})",
        )
        columns = (f"{a}.id", *(self._one(functions) for _ in range(self._random.randint(1, 2))))
        return Select(columns, (self._messages(a),), self._where(a, 0.9), order=self._order(a), **self._limits(0.2))

    def _arm(self, names: Sequence[str]) -> Select:
        a = self._alias()
        if self._chance(0.15):
            locals_ = {"id": "p.tid", "created_at": "p.n", "thread_id": "p.tid", "role": "'user'"}
            return Select(tuple(locals_.get(name, "NULL") for name in names), (Source("picks", "p"),))
        return Select(tuple(_column(a, name) for name in names), (self._messages(a),), self._where(a, 0.95))

    def _compound(self) -> Select:
        names = self._random.sample(("id", "created_at", "role", "thread_id", "run_id"), self._random.randint(1, 3))
        operators = ("UNION", "UNION ALL", "UNION ALL", "EXCEPT", "INTERSECT")
        arms = tuple(Arm(self._one(operators), self._arm(names)) for _ in range(self._random.choice((1, 1, 2))))
        first = self._arm(names)
        order: tuple[Key, ...] = ()
        if self._chance(0.6):
            number = names.index("created_at") + 1 if "created_at" in names and self._chance(0.7) else 1
            order = (Key(Term(()), number, suffix=self._one(("", " DESC"))),)
        return Select(first.columns, first.sources, first.where, order=order, compound=arms, **self._limits())

    def _nested(self) -> Select:
        """Wrap a query as BI tools do."""
        inner_alias = self._alias()
        a = "written_table" if _is_transcript(inner_alias) else "virtual_table"
        inner_where = self._where(inner_alias, 0.6)
        inner = Select((Star(),), (self._messages(inner_alias),), inner_where)
        if self._chance(0.4):
            suffix = self._one(("", " DESC"))
            order = tuple(
                Key(Term((_column(inner_alias, name),)), suffix=suffix) for name in ("created_at", "thread_id", "id")
            )
            if self._chance(0.4) and len(inner_where) == 1:
                order = order[:1] if self._is_single(inner_where[0]) else order
            inner = Select(inner.columns, inner.sources, inner.where, order=order, **self._limits(0.8))
        where = self._outer_where(a, named=not _names_itself(inner_where, inner_alias))
        columns = (Star(),) if self._chance(0.4) else tuple(_column(a, name) for name in ("id", "created_at", "role"))
        return Select(columns, (Source(inner, a),), where, order=self._order(a), **self._limits(0.6))

    @staticmethod
    def _is_single(predicate: Predicate) -> bool:
        return isinstance(predicate, Term) and predicate.single

    def _outer_where(self, a: str, *, named: bool) -> tuple[Predicate, ...]:
        terms: list[Predicate] = [self._visible_term(a) for _ in range(self._random.randint(0, 2))]
        if named and self._chance(0.9):
            terms.append(self._one(self._thread_terms(a))[1]())
        return tuple(terms)

    def _visible_term(self, a: str) -> Term:
        """Make a term on columns that ``*`` shows."""
        column = self._one(("id", "role", "run_id", "status"))
        if self._chance(0.5):
            return Term((f"{_time(a)} {self._one(_COMPARISONS)} ", self._time_value(a)))
        return Term(
            (f"{_column(a, column)} {self._one(('=', 'IS', '<>', '='))} ", self._text_value()), keys=column == "id"
        )

    def _with(self) -> Select:
        inner = self._alias()
        a = self._alias(inner)
        hint = self._one(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
        body = Select((Star(),), (self._messages(inner),), self._where(inner, 1.0))
        sources = [Source("c0", a)]
        if self._chance(0.4):
            b = self._alias(inner)
            sources.append(Source("c0", b, self._one(("JOIN", "LEFT JOIN")), (self._pairing(a, b),)))
        where = (self._visible_term(a),) if self._chance(0.5) else ()
        cte = Cte(f"c0 AS {hint}", body)
        columns = (f"{a}.id", _time(a), f"{sources[-1].alias}.role")
        return Select(columns, tuple(sources), where, order=self._order(a), ctes=(cte,), **self._limits(0.3))

    def _recursive(self) -> Select:
        """Count up, or go from message to message of one thread, beside messages."""
        a = self._alias()
        head = Select((self._one(("1", "0")),))
        step = Select(("r.n + 1",), (Source("rec", "r"),), (Term(("r.n < ", self._value(5))),))
        cte = Cte("rec(n) AS ", Select(head.columns, compound=(Arm("UNION ALL", step),)))
        at = f"{BASE} + r0.n"
        at = f"datetime({at}, 'unixepoch')" if _is_transcript(a) else at
        on = (Term((f"{_time(a)} {self._one(('=', '<'))} {at}",)),)
        sources = (
            Source("rec", "r0"),
            self._messages(a, self._one(("JOIN", "LEFT JOIN")), (*on, self._thread_term(a))),
        )
        columns = ("r0.n", f"{a}.id", _time(a))
        return Select(columns, sources, (), order=self._order(a), ctes=(cte,), **self._limits(0.2))

    def _threads_term(self, t: str) -> Predicate:
        values = [self._thread_value() for _ in range(self._random.randint(1, 3))]
        column = f"{t}.{self._one(('id', 'thread_id'))}"
        options: list[tuple[Piece, ...]] = [
            (f"{column} = ", self._thread_value()),
            (f"{column} IN (", *_commas(values), ")"),
            (f"{column} IN (SELECT tid FROM picks)",),
            (f"{column} {self._one(('>', '<>', 'IS NOT', 'LIKE'))} ", self._thread_value()),
            (f"{column} COLLATE NOCASE = ", self._thread_value()),
            (f"{t}.created_at {self._one(_COMPARISONS)} ", self._value(self._one(_TIMES))),
            (f"{t}.metadata ->> 'topic' = ", self._value(self._one("ab"))),
            (f"{t}.metadata = '{{}}'",),
        ]
        if self._chance(0.1):
            return Logic("OR", (Term(self._one(options)), Term(self._one(options))))
        return Term(self._one(options))

    def _threads(self) -> Select:
        t = self._alias()
        columns: tuple[Piece, ...] = (Star(),) if self._chance(0.4) else (f"{t}.id", f"{t}.metadata")
        if self._chance(0.3):
            z = self._alias()
            inner = Select((self._one(("count(*)", f"max({_time(z)})")),), (self._messages(z),), (_of(z, t),))
            columns = (f"{t}.id", inner)
        where = tuple(self._threads_term(t) for _ in range(self._random.randint(0, 2)))
        order = (Key(Term((f"{t}.created_at",)), suffix=self._one(("", " DESC"))),) if self._chance(0.5) else ()
        return Select(
            columns,
            (Source("threads", t, spelling=self._one(_THREAD_SPELLINGS)),),
            where,
            order=order,
            **self._limits(),
        )


_THREAD_SPELLINGS = ("threads", "openai.assistants.threads", '"openai.assistants".threads')
_SOME_COLUMNS: dict[str, tuple[str, ...]] = {
    "messages": ("id", "thread_id", "created_at", "role", "run_id", "content", "content_text", "metadata", "status"),
    "transcript": ("id", "thread_id", "created", "role", "run_id", "text", "metadata", "assistant_id"),
    "all_messages": ("id", "thread_id", "created_at", "role", "run_id", "content"),
    "threads": ("id", "created_at", "metadata"),
    "notes": ("message_id", "note", "stars"),
    "picks": ("tid", "n", "at"),
    "nums": ("i", "t", "x"),
}


def _commas(values: Sequence[Value]) -> list[Piece]:
    pieces: list[Piece] = []
    for value in values:
        pieces += [", ", value] if pieces else [value]
    return pieces


def _link(a: str, b: str, *, outer: bool = False) -> Term:
    """Make the threads of two aliases equal; where ``a`` belongs to an outer query, that names ``b``'s."""
    text = f"{b}.thread_id = {a}.thread_id"
    return Term((text,), names=frozenset({b})) if outer else Term((text,), links=frozenset({a, b}))


def _of(a: str, thread_alias: str) -> Term:
    return Term((f"{a}.thread_id = {thread_alias}.id",), names=frozenset({a}))


def _names_itself(where: tuple[Predicate, ...], alias: str) -> bool:
    return any(isinstance(term, Term) and alias in term.names for term in where)


BAD = (
    "SELECT nope FROM messages WHERE thread_id = '5'",
    "SELECT id FROM messages AS a JOIN messages AS b ON a.thread_id = b.thread_id WHERE a.thread_id = '5'",
    "SELECT \"no column\" FROM messages WHERE thread_id = '5'",
    "SELECT count(*) FROM messages WHERE count(*) > 1",
    "SELECT (id, role) FROM messages WHERE thread_id = '5'",
    "SELECT id FROM messages WHERE (thread_id, id) = ('5')",
    "SELECT id FROM messages WHERE thread_id IN (SELECT id, created_at FROM threads)",
    "SELECT id FROM messages WHERE thread_id = '5' UNION SELECT id, role FROM messages WHERE thread_id = '5'",
    "SELECT id FROM messages WHERE thread_id = '5' ORDER BY 2",
    "SELECT id FROM nowhere WHERE thread_id = '5'",
    "SELECT id FROM messages WHERE thread_id = '5' LIMIT 'x'",
    "SELECT id FROM messages WHERE thread_id = '5' LIMIT NULL",
    "SELECT id, FROM messages",
    "SELECT lower(id, role) FROM messages WHERE thread_id = '5'",
    "SELECT id COLLATE nothing FROM messages WHERE thread_id = '5'",
    "SELECT row_number() FROM messages WHERE thread_id = '5'",
    "SELECT id FROM messages WHERE thread_id = '5' AND row_number() OVER () = 1",
    "SELECT m.thread_id FROM messages WHERE thread_id = '5'",
    "SELECT id FROM threads AS t JOIN messages AS m ON m.thread_id = t.id",
    "SELECT max(created_at FROM messages WHERE thread_id = '5'",
)
