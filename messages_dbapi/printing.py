"""Rows as text: a table for people, CSV and JSON for programs, each row as it comes."""

from __future__ import annotations

import csv
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple, TextIO

from .types import Column, Row, SQLValue

NULL = "(null)"

_GAP = "  "
# A column of a table that is cut has this width at least; where that does not fit, rows become records.
_NARROWEST = 12
# A table that is not cut is padded so far only: one long text would blow up every other row.
_WIDEST = 120
# The rows that the widths of a table are taken from.
_SAMPLE = 1000

# What moves a cursor, colours a screen, breaks a line or turns the direction of the text around it.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# The same but for what a JSON text never holds as it is, or only between its values.
_JSON_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Result(NamedTuple):
    """What a statement answered: PEP 249's description of its columns, and its rows."""

    columns: Sequence[Column]
    rows: Iterable[Row]

    @property
    def names(self) -> list[str]:
        """List the names of the columns."""
        return [column[0] for column in self.columns]


def visible(text: str) -> str:
    """Write control characters as their escapes, such as ``\\n`` and ``\\x1b``."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def print_table(result: Result, stream: TextIO, width: int | None = None) -> int:
    """Print aligned columns and give the number of rows.

    ``width`` None prints whole cells. Else lines are cut to that many columns of a terminal; where
    there are too many columns for it, each row is a record, a line for each of its values.
    """
    rows = iter(result.rows)
    sample = list(islice(rows, _SAMPLE))
    columns = _columns(result.names, sample, width)
    everything = chain(sample, rows)
    if columns is None:
        return _print_records(result.names, everything, stream, width or _WIDEST)
    stream.write(_line(columns, [column.name for column in columns]))
    stream.write(_line(columns, ["-" * column.width for column in columns]))
    return _write_lines(stream, (_line(columns, [_cell(value, width) for value in row]) for row in everything))


class _Place(NamedTuple):
    """A column of a table: its heading, its width, and how its cells stand in it."""

    name: str
    width: int
    right: bool
    cut: bool

    def fill(self, text: str) -> str:
        text = _shorten(text, self.width) if self.cut else text
        blanks = " " * (self.width - _display_width(text))
        return blanks + text if self.right else text + blanks


def _columns(names: Sequence[str], sample: Sequence[Row], width: int | None) -> list[_Place] | None:
    """Lay the columns out; None where they do not fit."""
    headings = [visible(name) for name in names]
    values = list(zip(*sample, strict=True)) or [()] * len(names)
    natural = [
        max(_display_width(text) for text in (heading, *(_cell(value, width) for value in column)))
        for heading, column in zip(headings, values, strict=True)
    ]
    right = [_is_numeric(column) for column in values]
    widths = [min(size, _WIDEST) for size in natural] if width is None else _fit(natural, right, width)
    if widths is None:
        return None
    return [_Place(*place, cut=width is not None) for place in zip(headings, widths, right, strict=True)]


def _fit(natural: Sequence[int], fixed: Sequence[bool], width: int) -> list[int] | None:
    """Cut the widest columns until all fit; a number is never cut, for it would be another number."""
    room = width - len(_GAP) * (len(natural) - 1)
    for cap in range(max(natural), _NARROWEST - 1, -1):
        widths = [size if whole else min(size, cap) for size, whole in zip(natural, fixed, strict=True)]
        if sum(widths) <= room:
            return widths
    return list(natural) if sum(natural) <= room else None


def _is_numeric(values: Iterable[SQLValue]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) for value in known)


def _line(columns: Sequence[_Place], cells: Sequence[str]) -> str:
    return _GAP.join(column.fill(cell) for column, cell in zip(columns, cells, strict=True)).rstrip(" ") + "\n"


def _print_records(names: Sequence[str], rows: Iterable[Row], stream: TextIO, width: int) -> int:
    headings = [visible(name) for name in names]
    margin = max(_display_width(heading) for heading in headings)
    places = [_Place(heading, margin, right=False, cut=True) for heading in headings]
    room = max(width - margin - len(_GAP), _NARROWEST)

    def record(number: int, row: Row) -> str:
        cells = [_shorten(_cell(value, room), room) for value in row]
        lines = [place.fill(place.name) + _GAP + cell for place, cell in zip(places, cells, strict=True)]
        head = f"-- row {number} "
        return "\n".join((head + "-" * (min(width, margin + _WIDEST // 3) - len(head)), *lines)) + "\n"

    return _write_lines(stream, (record(number, row) for number, row in enumerate(rows, 1)))


def _cell(value: SQLValue, width: int | None = None) -> str:
    """Write a value for a table; of a text much wider than ``width`` only the beginning."""
    if value is None:
        return NULL
    if isinstance(value, bytes):
        return f"x'{value[:width].hex()}'"
    # Four characters for each place: some of them take none.
    return visible(value if width is None else value[: 4 * width]) if isinstance(value, str) else str(value)


def _shorten(text: str, width: int) -> str:
    if _display_width(text) <= width:
        return text
    kept, room = [], width - 1
    for character in text:
        room -= _advance(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _display_width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_advance, text))


@lru_cache(4096)
def _advance(character: str) -> int:
    """Give the places that a character takes on a terminal (https://www.unicode.org/reports/tr11/)."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def print_csv(result: Result, stream: TextIO, width: int | None = None) -> int:
    """Print CSV with a heading, NULL as an empty field, and give the number of rows.

    With a ``width``, for a terminal, control characters are written as escapes.
    """
    show: Callable[[str], str] = str if width is None else visible
    writer = csv.writer(_Lines(stream))
    writer.writerow([show(name) for name in result.names])
    count = 0
    for row in result.rows:
        writer.writerow([_field(value, show) for value in row])
        count += 1
    return count


class _Lines(NamedTuple):
    """End the lines of a CSV writer with ``\\n``; told to do so itself, it would leave ``\\r`` unquoted."""

    stream: TextIO

    def write(self, line: str) -> int:
        return self.stream.write(line.removesuffix("\r\n") + "\n")


def _field(value: SQLValue, show: Callable[[str], str]) -> SQLValue:
    if isinstance(value, bytes):
        return value.hex()
    return show(value) if isinstance(value, str) else value


def print_json(result: Result, stream: TextIO, width: int | None = None) -> int:
    """Print a list of objects, a line each, and give the number of rows.

    Values of columns declared JSON (arrays and objects) are JSON values, not texts that hold them.
    A name that occurs again is numbered, as in ``id_2``.
    """
    keys = [json.dumps(name, ensure_ascii=False) for name in _distinct(result.names)]
    declared = [column[1] == "JSON" for column in result.columns]
    count = 0
    for count, row in enumerate(result.rows, 1):
        stream.write("[\n" if count == 1 else ",\n")
        pairs = zip(keys, map(_json_value, row, declared), strict=True)
        line = "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        stream.write(_JSON_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", line))
    stream.write("\n]\n" if count else "[]\n")
    return count


def _distinct(names: Iterable[str]) -> list[str]:
    taken: dict[str, None] = {}
    for name in names:
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        taken[free] = None
    return list(taken)


def _json_value(value: SQLValue, is_json: bool) -> str:
    if is_json and isinstance(value, str) and _holds_json(value):
        return value
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no word for it.
        value = str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _holds_json(text: str) -> bool:
    """Tell whether a text is JSON: in a column of a local table it may be anything."""
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _write_lines(stream: TextIO, lines: Iterator[str]) -> int:
    count = 0
    for line in lines:
        stream.write(line)
        count += 1
    return count


PRINTERS: dict[str, Callable[[Result, TextIO, int | None], int]] = {
    "table": print_table,
    "csv": print_csv,
    "json": print_json,
}
