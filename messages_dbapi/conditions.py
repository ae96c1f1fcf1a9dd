"""The conditions of a statement, lexically: whether they name threads that SQLite will not show the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    if "OR" in words and words & {"COLLATE", "IN"} and _has_unsplittable(tokens):
        return True
    if "JOIN" not in words or not words & {"RIGHT", "FULL"}:
        return False
    return bool(words & {"NATURAL", "USING"} or _compared_threads(tokens))


@dataclass
class _Condition:
    """What has been found in one condition: an OR of its own, what SQLite splits no OR for, and the threads.

    ``any_…`` is of all in the same parentheses, which belongs to the condition around them as well.
    """

    has_or: bool = False
    blocks: bool = False
    compares: bool = False
    any_blocks: bool = False
    any_compares: bool = False

    def find(self, blocks: bool, compares: bool, *, within: bool = True) -> None:
        """Add what was found in it; ``within``: without looking at what stands around the parentheses."""
        self.blocks |= blocks
        self.any_blocks |= blocks
        self.compares |= compares and within
        self.any_compares |= compares

    @property
    def is_unsplittable(self) -> bool:
        """Tell whether it is an OR that names threads, and that SQLite does not split."""
        return self.has_or and self.blocks and self.compares

    def begin(self) -> None:
        """Begin the next condition in the same parentheses."""
        self.has_or = self.blocks = self.compares = False


def _has_unsplittable(tokens: Sequence[Token]) -> bool:
    """Look at each clause, and at what stands in each pair of parentheses; at each token once, however deep."""
    compared = _compared_threads(tokens)
    around: list[_Condition] = []
    condition = _Condition()
    before = ""
    for place, token in enumerate(tokens):
        ends = token.text == ")" and bool(around)
        if (ends or token.keyword in _CLAUSES) and condition.is_unsplittable:
            return True
        if ends:
            inner, condition = condition, around.pop()
            condition.find(inner.any_blocks, inner.any_compares)
        elif token.text == "(":
            around.append(condition)
            condition = _Condition()
        elif token.keyword in _CLAUSES:
            condition.begin()
        row_value = token.keyword == "IN" and before == ")"
        condition.find(row_value or token.keyword == "COLLATE", place in compared, within=compared.get(place, False))
        condition.has_or |= token.keyword == "OR"
        before = token.text
    return any(left.is_unsplittable for left in (*around, condition))


def _compared_threads(tokens: Sequence[Token]) -> dict[int, bool]:
    """Find the places where the column of the threads is compared for being equal.

    Tell of each whether that is seen without the parenthesis that follows it.
    """
    texts = [token.text.strip('"`[]').upper() for token in tokens]
    bare = [place for place, pair in enumerate(pairwise([*texts, ""])) if "." not in pair]
    column = str(MESSAGES.scope).upper()
    comparing = (*_COMPARING, ",")  # in a row value that is compared
    signs = [texts[place] for place in bare]
    return {
        place: before in (*comparing, ")") or after in comparing
        for before, place, after in zip(["", *signs], bare, [*signs[1:], ""], strict=False)
        if texts[place] == column and (")" in (before, after) or before in comparing or after in comparing)
    }
