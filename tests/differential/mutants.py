"""Bugs to plant in a copy of the driver, one at a time, to see the differential test catch each.

Run ``python -m tests.differential.mutants``; a name or part of one chooses among them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]


class Mutant(NamedTuple):
    """A bug: in which file of the package which text becomes which; ``harmless`` where SQLite guards against it.

    ``also`` is a second change, of a text in the same file.
    """

    name: str
    file: str
    old: str
    new: str
    harmless: bool = False
    also: tuple[str, str] | None = None


MUTANTS = (
    Mutant(
        "LIMIT taken though ORDER BY was not",
        "plan.py",
        "if offer.exact and (ordered or not info.nOrderBy):",
        "if offer.exact:",
    ),
    Mutant(
        # SQLite 3.46 and later plan again where a shown term was not consumed, but not where it shows a weaker one.
        "LIMIT taken with unconsumed terms",
        "plan.py",
        "if offer.exact and (ordered or not info.nOrderBy):",
        "if ordered or not info.nOrderBy:",
    ),
    Mutant(
        "terms called exact that only narrow",
        "plan.py",
        "operator, offer, exact=False)",
        "operator, offer, exact=True)",
    ),
    Mutant("OFFSET taken and not applied", "selection.py", "self._skip = _count(values[0]) or 0", "self._skip = 0"),
    Mutant(
        "LIMIT counted without OFFSET",
        "scan.py",
        "stop = None if selection.wanted is None else selection.skip + selection.wanted",
        "stop = selection.wanted",
    ),
    Mutant(
        "LIMIT for each thread, OFFSET too",
        "scan.py",
        "yield self._scope_rows(resource, reader, waiting.popleft(), selection, intent)",
        "yield islice(self._scope_rows(resource, reader, waiting.popleft(), selection, intent), selection.skip, None)",
    ),
    Mutant(
        "collation ignored",
        "plan.py",
        'return info.get_aConstraint_collation(index) == "BINARY"',
        "return True",
    ),
    Mutant(
        "ORDER BY created_at, id claimed without sorting ties",
        "plan.py",
        "ordered = len(wanted) == 1 and",
        "ordered = len(wanted) >= 1 and",
    ),
    Mutant(
        "ORDER BY thread_id, created_at claimed for several threads",
        "plan.py",
        "offer.single_scope |= not is_list",
        "offer.single_scope = True",
    ),
    Mutant(
        "order claimed the wrong way round",
        "plan.py",
        "return ordered, ordered and wanted[0][1]",
        "return ordered, False",
    ),
    Mutant("IN concatenated, not merged", "scan.py", "        if selection.merged:\n", "        if False:\n"),
    Mutant(
        "key counted by the cursor",
        "table.py",
        "key = _internal_key(row, scoped=self._table.resource.scope is not None)",
        "key = str(self.count)",
        also=(
            "        self.Next()\n\n    def _decoded",
            "        self.count, rows = 0, self._rows\n"
            "        self._rows = (setattr(self, 'count', n) or row for n, row in enumerate(rows))\n"
            "        self.Next()\n\n    def _decoded",
        ),
    ),
    Mutant(
        "key without the thread's length",
        "table.py",
        'return f"{len(row[SCOPE])}:{row[SCOPE]}{row[KEY]}"',
        "return str(row[SCOPE])",
    ),
    Mutant(
        "prices far from flat",
        "plan.py",
        "cost -= _TERM_DISCOUNT * min(len(offer.terms), 20)",
        "cost /= 1000 ** len(offer.terms)",
    ),
    Mutant("a scan of no thread called cheap", "plan.py", "_UNSCOPED_COST = 1e30", "_UNSCOPED_COST = 10.0"),
    Mutant(
        "affinity of thread_id not applied to integers",
        "selection.py",
        "texts |= {str(value) for value in values if isinstance(value, int)}",
        "pass",
    ),
    Mutant(
        "affinity of thread_id not applied to floats",
        "selection.py",
        "texts |= {self._as_text(value) for value in values if isinstance(value, float)}",
        "texts |= {str(int(value)) for value in values if isinstance(value, float)}",
    ),
    Mutant(
        "affinity of created_at not applied to text",
        "selection.py",
        "    if match is None:\n        return math.inf",
        "    if True:\n        return math.inf",
    ),
    Mutant(
        "text above numbers forgotten",
        "selection.py",
        "    if match is None:\n        return math.inf",
        "    if match is None:\n        return 0",
    ),
    Mutant("> off by one", "selection.py", "_floor(number) + 1", "_floor(number) + 2"),
    Mutant("> takes the bound itself", "selection.py", "_floor(number) + 1", "_floor(number)"),
    Mutant("< takes the bound itself", "selection.py", "-_floor(-number) - 1)", "-_floor(-number))"),
    Mutant(
        ">= loses the bound itself",
        "selection.py",
        "return (-_floor(-number), math.inf)",
        "return (-_floor(-number) + 1, math.inf)",
    ),
    Mutant(
        "<= loses the bound itself",
        "selection.py",
        "return (-math.inf, _floor(number))",
        "return (-math.inf, _floor(number) - 1)",
    ),
    Mutant(
        "= of a float cut off",
        "selection.py",
        "return (number, number) if math.isfinite(number) and number == math.floor(number) else None",
        "return (_floor(number), _floor(number)) if math.isfinite(number) else None",
    ),
    Mutant(
        "a timestamp met by a text that is none",
        "selection.py",
        "return (low, high) if low <= high and",
        "return (low, max(low, high)) if",
    ),
    Mutant(
        "> of a timestamp takes the bound itself",
        "selection.py",
        "low, high = after if operator == apsw.SQLITE_INDEX_CONSTRAINT_GT else first, math.inf",
        "low, high = first, math.inf",
    ),
    Mutant(
        ">= of a timestamp loses the bound itself",
        "selection.py",
        "low, high = after if operator == apsw.SQLITE_INDEX_CONSTRAINT_GT else first, math.inf",
        "low, high = after, math.inf",
    ),
    Mutant(
        "< of a timestamp loses what is just before",
        "selection.py",
        "(after if operator == apsw.SQLITE_INDEX_CONSTRAINT_LE else first) - 1",
        "(after if operator == apsw.SQLITE_INDEX_CONSTRAINT_LE else first - 1) - 1",
    ),
    Mutant(
        "<= of a timestamp loses the bound itself",
        "selection.py",
        "(after if operator == apsw.SQLITE_INDEX_CONSTRAINT_LE else first) - 1",
        "first - 1",
    ),
    Mutant("the end of a text left", "timestamps.py", "bisect_right(_SECONDS, text", "bisect_left(_SECONDS, text"),
    Mutant("the start of a text right", "timestamps.py", "bisect_left(_SECONDS, text", "bisect_right(_SECONDS, text"),
    Mutant(
        "texts read as times, not compared",
        "timestamps.py",
        "bisect_left(_SECONDS, text,",
        'bisect_left(_SECONDS, text.replace("T", " ")[:19],',
    ),
    Mutant(
        "a number is a text beside any column",
        "selection.py",
        "return (EARLIEST, math.inf) if operator in _LOWER else _timestamp_bounds(operator, text)",
        "return _timestamp_bounds(operator, text)",
    ),
    Mutant(
        "a number is never a text",
        "selection.py",
        "return (EARLIEST, math.inf) if operator in _LOWER else _timestamp_bounds(operator, text)",
        "return (EARLIEST, math.inf) if operator in _LOWER else None",
    ),
    Mutant(
        "comparisons of a timestamp with a number not checked again",
        "plan.py",
        "            info.set_aConstraintUsage_omit(index, False)\n",
        "",
    ),
    Mutant(
        "LIMIT kept where SQLite drops rows",
        "selection.py",
        "wanted=self._wanted if self._is_sure else None,",
        "wanted=self._wanted,",
    ),
    Mutant("OFFSET taken where SQLite drops rows", "plan.py", "offer.unsure = True", "pass"),
    Mutant(
        "blobs forgotten beside timestamps",
        "selection.py",
        "return (-math.inf, LATEST) if operator not in (*EQUAL, *_LOWER) else None",
        "return None",
    ),
    Mutant(
        "collation of a timestamp ignored",
        "plan.py",
        "if has_timestamps and not _is_binary(info, index):",
        "if False:",
    ),
    Mutant(
        "created_at IN taken as a range",
        "plan.py",
        "exact = operator not in _PERHAPS_WEAKER and not info.get_aConstraintUsage_in(index)",
        "exact = operator not in _PERHAPS_WEAKER",
    ),
    Mutant(
        "LIMIT taken beside a row value shown as >=",
        "plan.py",
        "exact = operator not in _PERHAPS_WEAKER and not",
        "exact = not",
    ),
    Mutant(
        "comparison with NULL met by all",
        "selection.py",
        "    if number is None:\n        return None\n    if operator in EQUAL:",
        "    if number is None:\n        return (-math.inf, math.inf)\n    if operator in EQUAL:",
    ),
    Mutant(
        "thread_id = NULL names no thread",
        "selection.py",
        "        if not texts:\n            raise _Nothing\n        return texts",
        "        return texts",
        # An empty set of threads has no rows either.
        harmless=True,
    ),
    Mutant(
        "no named thread means all",
        "selection.py",
        "scopes = None if self._scopes is None else sorted(self._scopes)",
        "scopes = sorted(self._scopes) if self._scopes and len(self._scopes) > 1 else None",
    ),
    Mutant("early stop under ties", "scan.py", "row[TIME] < beyond if descending", "row[TIME] <= beyond if descending"),
    Mutant("early stop under ties, upwards", "scan.py", "else row[TIME] > beyond", "else row[TIME] >= beyond"),
    Mutant(
        "no early stop either way",
        "scan.py",
        "beyond = selection.low if descending else selection.high",
        "beyond = selection.high if descending else selection.low",
    ),
    Mutant(
        "point read fakes its row",
        "table.py",
        "if not self._is_target or self._execution.gives_back_deleted:",
        "if self._execution.gives_back_deleted:",
    ),
    Mutant(
        "point read looks at nothing but the key",
        "scan.py",
        "filter(partial(_matches, selection), rows)",
        "rows",
    ),
    Mutant(
        "rows kept between statements",
        "engine.py",
        "        writing = Writing(self._calls,",
        '        kept = self.__dict__.setdefault("kept", new_reading())\n'
        "        new_reading = lambda: kept\n"
        "        writing = Writing(self._calls,",
    ),
    Mutant(
        "after walked in the wrong order",
        "scan.py",
        "return Walk(selection.cursor_descending, selection.after, filters)",
        "return Walk(not selection.cursor_descending, selection.after, filters)",
    ),
    Mutant(
        "before walked in the wrong order",
        "scan.py",
        "return Walk(not selection.cursor_descending, selection.before,",
        "return Walk(selection.cursor_descending, selection.before,",
    ),
    Mutant("before forgotten beside after", "scan.py", "rows = _until_key(rows, selection.before)", "pass"),
    Mutant(
        "before includes its message",
        "scan.py",
        "        if row[KEY] == key:\n            yield from held\n",
        "        if row[KEY] == key:\n            yield from [*held, row]\n",
    ),
    Mutant(
        "a listing the other way not turned round",
        "scan.py",
        "return reversed(listing.finish())",
        "return iter(listing.finish())",
    ),
    Mutant(
        "ties not turned round",
        "scan.py",
        "    yield from list(rows)[::-1]",
        "    yield from sorted(list(rows), key=_time)",
    ),
    Mutant("rows found by value not turned round", "scan.py", "else found[::-1])", "else found)"),
    Mutant(
        "a listing of one run kept as the whole",
        "scan.py",
        "        means = Means(\n",
        "        walk = Walk(walk.descending, walk.after)\n        means = Means(\n",
    ),
    Mutant(
        "rows with a value found in one column only",
        "listing.py",
        "places.setdefault(row[position], []).append(place)",
        "places.setdefault(row[position], [place])",
    ),
    Mutant(
        "the last row of a page dropped",
        "listing.py",
        "self.rows.extend(rows)",
        "self.rows.extend(rows[:-1] if page.has_more else rows)",
    ),
    Mutant(
        "every scan lists again",
        "scan.py",
        "        listing = self._kept(resource, reader, scope, walk, selection)\n",
        "        listing = None\n",
    ),
    Mutant("requests not counted", "statement.py", "self.stats.requests += 1", "pass"),
    Mutant(
        "a column not decoded",
        "table.py",
        "execution.used.setdefault(self.resource.name, set()).update(used)",
        'execution.used.setdefault(self.resource.name, set()).update(used - {"status"})',
    ),
    Mutant("texts of a message joined by blanks", "decode.py", 'return "\\n".join(text', 'return " ".join(text'),
    Mutant(
        "a value of IN forgotten",
        "selection.py",
        "        yield from argument\n",
        "        yield from sorted(argument, key=repr)[len(argument) > 3 :]\n",
    ),
)


class Outcome(NamedTuple):
    """What the campaign said of a mutant: how many queries were wrong, of how many; None where it did not run."""

    mutant: Mutant
    wrong: int | None
    queries: int
    said: str


@contextmanager
def planted(mutant: Mutant | None) -> Iterator[Path]:
    """Give a copy of the package and of what the campaign needs, with a bug in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(_ROOT / "messages_dbapi", copy / "messages_dbapi")
        shutil.copytree(_ROOT / "tests" / "differential", copy / "tests" / "differential")
        for name in ("__init__.py", "service.py"):
            shutil.copy(_ROOT / "tests" / name, copy / "tests" / name)
        if mutant is not None:
            plant(mutant, copy / "messages_dbapi" / mutant.file)
        yield copy


def plant(mutant: Mutant, path: Path) -> None:
    """Put a bug into a file; raise ValueError where the text to change does not stand there."""
    path.write_text(changed(mutant, path.read_text(encoding="utf-8")), encoding="utf-8")


def changed(mutant: Mutant, text: str) -> str:
    """Give a text with the bug; raise ValueError where what it changes does not stand in it."""
    for old, new in ((mutant.old, mutant.new), *([mutant.also] if mutant.also else [])):
        if old not in text:
            raise ValueError(f"{mutant.name}: {mutant.file} has no {old!r}")
        text = text.replace(old, new)
    return text


def source_of(mutant: Mutant) -> Path:
    """Give the file of the package that a bug goes into."""
    return _ROOT / "messages_dbapi" / mutant.file


def judge(mutant: Mutant, queries: int, seed: int) -> Outcome:
    """Run the campaign on a copy with a bug."""
    try:
        with planted(mutant) as copy:
            command = ["-m", "tests.differential", "--queries", str(queries), "--seed", str(seed), "--count-only"]
            done = subprocess.run(
                [sys.executable, *command],
                cwd=copy,
                capture_output=True,
                text=True,
                env=_environment(copy),
                check=False,
            )
    except ValueError as error:
        return Outcome(mutant, None, 0, str(error))
    found = re.search(r"(\d+) queries in .*?, (\d+) wrong", done.stdout)
    if found is None:
        return Outcome(mutant, None, 0, (done.stderr or done.stdout).strip()[-200:])
    return Outcome(mutant, int(found[2]), int(found[1]), "")


def _environment(copy: Path) -> dict[str, str]:
    # The copy must be found before the installed package.
    return {**os.environ, "PYTHONPATH": str(copy)}


def main() -> int:
    """Plant each bug in turn and print how many queries caught it; 1 where one was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential.mutants", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.names or any(name in mutant.name for name in options.names)]
    escaped = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(lambda mutant: judge(mutant, options.queries, options.seed), chosen):
            escaped += not outcome.wrong and not outcome.mutant.harmless
            print(_line(outcome), flush=True)  # noqa: T201  # a command's output
    return 1 if escaped else 0


def _line(outcome: Outcome) -> str:
    if outcome.wrong is None:
        return f"DID NOT RUN  {outcome.mutant.name}: {outcome.said}"
    verdict = "caught" if outcome.wrong else ("harmless" if outcome.mutant.harmless else "NOT CAUGHT")
    return f"{verdict:<12} {outcome.mutant.name}: {outcome.wrong} of {outcome.queries} queries wrong"


if __name__ == "__main__":
    sys.exit(main())
