"""SQL text as tokens: SQLite's lexical rules, and where one statement ends and the next begins.

The rules are those of https://www.sqlite.org/src/file/src/tokenize.c. Reading takes linear time on any
text: no pattern gives back what it has taken, and a literal or comment that is not closed runs to the
end. What SQLite would call an unrecognized token is a token here too, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

from sqlparse import tokens as kinds
from sqlparse.lexer import Lexer

from .errors import ProgrammingError

TokenType = Literal["blank", "comment", "word", "quoted", "string", "blob", "number", "parameter", "sign", "unknown"]

# sqlparse 0.6 reads $tag$…$tag$ as one literal before any rule of ours; in SQLite each $name is a
# parameter. The lexer is therefore shown NUL for every $, which no statement may hold otherwise.
_DOLLAR = "\0"
# Each set lists what it lacks: re takes 4 ms to compile one that reaches up to U+10FFFF. A name may hold NUL.
_START = r"(?!\ufeff)[^\x00-@\[-^`{-\x7f]"
_NAME = r"[^\x01-/:-@\[-^`{-\x7f]"

# In the order in which they are tried: what statements are mostly made of comes first.
_RULES = [
    # A run of blanks may hold, but not begin with, a vertical tab; U+FEFF is a blank where a token may begin.
    (r"(?:[ \t\n\f\r][ \t\n\v\f\r]*+|\ufeff)", kinds.Whitespace),
    (rf"(?!x'){_START}{_NAME}*+", kinds.Name),
    (r"[,();]|\.(?![0-9])", kinds.Punctuation),
    (r"'[^']*+(?:''[^']*+)*+'?", kinds.String.Single),
    (r'"[^"]*+(?:""[^"]*+)*+"?', kinds.String.Symbol),
    (r"`[^`]*+(?:``[^`]*+)*+`?", kinds.String.Symbol),
    (r"\[[^\]]*+\]?", kinds.String.Symbol),
    (
        rf"(?:0x[0-9a-f][0-9a-f_]*+|(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9][0-9_]*+)(?:e[+-]?[0-9][0-9_]*+)?){_NAME}*+",
        kinds.Number,
    ),
    (r"--[^\n]*+", kinds.Comment),
    # A /* that is the end of the text is two operators.
    (r"/\*(?!\Z)(?:[^*]++|\*(?!/))*+(?:\*/)?", kinds.Comment),
    (r"\?[0-9]*+", kinds.Name.Placeholder),
    # $name::part(suffix), and the same after : @ #. The mark alone is an error, but has to match: see above.
    (rf"[:@#{_DOLLAR}](?:::)*+(?:{_NAME}(?:{_NAME}|::)*+(?:\([^ \t\n\v\f\r)]*+\)?)?)?", kinds.Name.Placeholder),
    (r"x'[^']*+'?", kinds.Literal),
    (r"->>?|\|\||<<|>>|<=|<>|>=|==|!=|[-+*/%&|~<>=]", kinds.Operator),
]

_TYPES: dict[Any, TokenType] = {
    kinds.Whitespace: "blank",
    kinds.Comment: "comment",
    # sqlparse finds closed comments by itself, and these are its names for them.
    kinds.Comment.Multiline: "comment",
    kinds.Comment.Multiline.Hint: "comment",
    kinds.Name: "word",
    kinds.String.Symbol: "quoted",
    kinds.String.Single: "string",
    kinds.Literal: "blob",
    kinds.Number: "number",
    kinds.Name.Placeholder: "parameter",
    kinds.Punctuation: "sign",
    kinds.Operator: "sign",
    kinds.Error: "unknown",
}


def _sqlite_lexer() -> Any:
    """Build a lexer of our own; sqlparse's shared one stays as it is."""
    lexer: Any = Lexer()  # sqlparse declares no types
    lexer.clear()
    lexer.set_SQL_REGEX(_RULES)
    return lexer


_LEXER = _sqlite_lexer()


class Token(NamedTuple):
    """A piece of SQL text and its place among the tokens of the whole text."""

    type: TokenType
    text: str
    position: int

    @property
    def is_name(self) -> bool:
        """Tell whether it may be (a part of) a name; SQLite takes even a string in ``'t'.id``."""
        return self.type in ("word", "quoted", "string")

    @property
    def name(self) -> str:
        """Give the name it stands for: without quotes, ASCII letters small, as SQLite compares names."""
        return lower(self.spelling)

    @property
    def spelling(self) -> str:
        """Give the name it stands for: without quotes, as it was written."""
        quote = self.text[0]
        if self.type == "word" or not self.is_name:
            return self.text
        if quote == "[":
            return self.text[1:].removesuffix("]")
        return self.text[1:].removesuffix(quote).replace(quote * 2, quote)

    @property
    def is_closed(self) -> bool:
        """Tell whether it has the quote that it must end with; a comment need not have any."""
        if self.type in ("string", "quoted", "blob"):
            quote = self.text.lstrip("xX")[0]
            return self.text.endswith("]") if quote == "[" else self.text.count(quote) % 2 == 0
        return True

    @property
    def keyword(self) -> str:
        """Give the word in capitals, or nothing for any other token."""
        return self.text.upper() if self.type == "word" and self.text.isascii() else ""


def lower(name: str) -> str:
    """Make ASCII letters small and no others: SQLite tells Ä from ä, and K from the Kelvin sign."""
    return name.lower() if name.isascii() else name.translate(_SMALL)


_SMALL = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}


def tokenize(text: str, most: int | None = None) -> list[Token]:
    """Split SQL text into tokens, whose texts joined are the text again; or give the first ``most`` of them.

    Raises ProgrammingError for a NUL character, where SQLite would silently end the statement.
    """
    if _DOLLAR in text:
        raise ProgrammingError(
            f"the SQL text holds a NUL character at position {text.index(_DOLLAR)}, where SQLite would stop reading; "
            "pass such a value as a parameter"
        )
    result: list[Token] = []
    end = 0
    for position, (kind, shown) in enumerate(islice(_LEXER.get_tokens(text.replace("$", _DOLLAR)), most)):
        start, end = end, end + len(shown)
        result.append(Token(_TYPES[kind], text[start:end], position))
    return result


def meaningful(tokens: Iterable[Token]) -> list[Token]:
    """Leave out blanks and comments."""
    return [token for token in tokens if token.type not in ("blank", "comment")]


def trim(tokens: Sequence[Token]) -> Sequence[Token]:
    """Leave out the blanks at both ends."""
    places = [place for place, token in enumerate(tokens) if token.type != "blank"]
    return tokens[places[0] : places[-1] + 1] if places else []


def split(text: str) -> list[str]:
    """Split a script into its statements at ``;``, but not at those inside CREATE TRIGGER … END.

    The statements come without that ``;`` and without blanks around them; pieces of blanks and
    comments only are left out. Raises ProgrammingError for a NUL character.
    """
    return ["".join(token.text for token in trim(piece)) for piece in statements(tokenize(text))]


def statements(tokens: Iterable[Token]) -> list[list[Token]]:
    """Group tokens by statement, without the ``;`` after each; leave out pieces without meaning."""
    result: list[list[Token]] = []
    piece: list[Token] = []
    ends = _End()
    for token in tokens:
        if ends.at(token):
            result.append(piece)
            piece, ends = [], _End()
        else:
            piece.append(token)
    result.append(piece)
    return [piece for piece in result if meaningful(piece)]


class _End:
    """Tell which ``;`` ends a statement, as sqlite3_complete() does: in CREATE TRIGGER the one of ``; END ;``."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._trigger = False
        self._last = ("", "")

    def at(self, token: Token) -> bool:
        """Take the next token of the statement and tell whether it is the ``;`` after it."""
        if token.type in ("blank", "comment"):
            return False
        if token.text == ";" and (not self._trigger or self._last == (";", "END")):
            return True
        self._last = (self._last[1], token.keyword or token.text)
        if len(self._head) < _TRIGGER_HEAD:
            self._head.append(token.keyword)
            self._trigger = _is_trigger(self._head)
        return False


# EXPLAIN QUERY PLAN CREATE TEMP TRIGGER
_TRIGGER_HEAD = 6


def _is_trigger(head: list[str]) -> bool:
    words = [word for word in head if word not in ("EXPLAIN", "QUERY", "PLAN", "TEMP", "TEMPORARY")]
    return words[:2] == ["CREATE", "TRIGGER"]
