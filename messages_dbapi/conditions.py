"""The conditions of a statement, lexically: whether they name threads that SQLite will not show the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from .lexer import Token
from .resources import MESSAGES

# Words at which one condition ends and something else begins.
_CLAUSES = (
    *("SELECT", "FROM", "WHERE", "ON", "USING", "JOIN", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT"),
    *("UNION", "EXCEPT", "INTERSECT", "SET", "VALUES", "RETURNING"),
)
# What stands beside a column that is compared for being equal.
_COMPARING = ("=", "==", "IN", "IS", "NOT")


def hides_threads(tokens: Sequence[Token]) -> bool:
    """Tell whether the statement names threads where SQLite cannot take the term for a scan.

    It splits no OR with a COLLATE or a row value IN a list in it, and uses no WHERE on the side of a join
    that may be empty.
    """
    words = {token.keyword for token in tokens}
    if "OR" in words and words & {"COLLATE", "IN"} and any(_is_unsplittable(terms) for terms in _conditions(tokens)):
        return True
    if "JOIN" not in words or not words & {"RIGHT", "FULL"}:
        return False
    return bool(words & {"NATURAL", "USING"}) or _compares_threads(tokens)


def _conditions(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Give each clause, and what stands in each pair of parentheses, with all that it contains."""
    begun = [[0]]
    for place, token in enumerate(tokens):
        if token.text == "(":
            begun.append([place + 1])
        elif token.text == ")" and len(begun) > 1:
            yield tokens[begun.pop()[0] : place]
        elif token.keyword in _CLAUSES:
            yield tokens[begun[-1][0] : place]
            begun[-1][0] = place + 1
    yield tokens[begun[0][0] :]


def _is_unsplittable(tokens: Sequence[Token]) -> bool:
    row_value = any(token.text == ")" and after.keyword == "IN" for token, after in pairwise(tokens))
    if not (row_value or any(token.keyword == "COLLATE" for token in tokens)) or not _compares_threads(tokens):
        return False
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.keyword == "OR":
            return True
    return False


def _compares_threads(tokens: Sequence[Token]) -> bool:
    texts = [token.text.strip('"`[]').upper() for token in tokens]
    bare = [text for text, after in zip(texts, [*texts[1:], ""], strict=True) if text != "." and after != "."]
    column = str(MESSAGES.scope).upper()
    beside = (*_COMPARING, ",", ")")  # in a row value that is compared
    return any(
        text == column and (after in beside or before in beside)
        for before, text, after in zip(["", *bare], bare, [*bare[1:], ""], strict=False)
    )
