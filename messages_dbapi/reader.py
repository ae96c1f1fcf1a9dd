"""The front of a statement, read token by token: keywords, names, and what stands in parentheses."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .lexer import Token
from .names import Name, name_at


class Reader:
    """Read the meaningful tokens of one statement in order; what does not come next is not taken."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def keyword(self) -> str:
        """Give the word that comes next in capitals, or nothing where something else does."""
        return self._tokens[self._at].keyword if self._at < len(self._tokens) else ""

    @property
    def rest(self) -> Sequence[Token]:
        """Give what has not been taken."""
        return self._tokens[self._at :]

    def take(self, *words: str) -> bool:
        """Take these words, if they come next one after another."""
        following = [token.keyword for token in self._tokens[self._at : self._at + len(words)]]
        if following != list(words):
            return False
        self._at += len(words)
        return True

    def take_any(self, words: Collection[str]) -> str:
        """Take the word that comes next, if it is one of these, and give it; else give nothing."""
        word = self.keyword
        return word if word in words and self.take(word) else ""

    def take_word(self) -> str:
        """Take the word that comes next, if one does, and give it in capitals; else give nothing."""
        word = self.keyword
        return word if word and self.take(word) else ""

    def take_sign(self, sign: str) -> bool:
        """Take this sign, if it comes next."""
        if self._at >= len(self._tokens) or self._tokens[self._at].text != sign:
            return False
        self._at += 1
        return True

    def take_name(self) -> Name | None:
        """Take the dotted name that comes next, if one does."""
        name = name_at(self._tokens, self._at)
        if name is not None:
            self._at += 2 * len(name.parts) - 1
        return name

    def take_names(self) -> tuple[str, ...]:
        """Take the list of names in parentheses that comes next, if one does; give it without its quotes."""
        names: list[str] = []
        if self.take_sign("("):
            while name := self.take_name():
                names.append(name.spelling)
                if not self.take_sign(","):
                    break
            self.take_sign(")")
        return tuple(names)

    def take_expression(self) -> Sequence[Token]:
        """Take what comes up to the next comma, FROM, WHERE or RETURNING outside of parentheses."""
        began, depth = self._at, 0
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if depth == 0 and (token.text == "," or token.keyword in ("FROM", "WHERE", "RETURNING")):
                break
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            self._at += 1
        return self._tokens[began : self._at]

    def take_parentheses(self) -> bool:
        """Take the parentheses that come next with all that stands in them, if they do."""
        if not self.take_sign("("):
            return False
        depth = 1
        while depth and self._at < len(self._tokens):
            depth += {"(": 1, ")": -1}.get(self._tokens[self._at].text, 0)
            self._at += 1
        return True

    def skip_to(self, word: str) -> bool:
        """Go on behind the next place where this word stands, if it does."""
        places = (at for at in range(self._at, len(self._tokens)) if self._tokens[at].keyword == word)
        place = next(places, None)
        if place is None:
            return False
        self._at = place + 1
        return True
