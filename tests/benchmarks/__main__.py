"""Measure the driver beside the official client and plain loops, in one run: python -m tests.benchmarks."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sized
from functools import partial
from pathlib import Path
from typing import Any

from . import cases, plot
from .cases import Case, Clients, Counter, clients
from .cold import Cold
from .library import LENGTHS, LISTED, Urls, fill, of_length, served
from .measure import Measured, measure
from .report import document, markdown, table
from .result import Point, Result
from .service import FORMS
from .shapes import of_cases, shapes

_README = Path(__file__).parents[2] / "README.md"
_MEASURED = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- end -->)", re.DOTALL)


def main() -> int:
    """Print the table, or JSON."""
    options = _parser().parse_args()
    result = run(options)
    if options.plot:
        plot.draw(result, options.plot)
    if options.readme:
        text = _README.read_text(encoding="utf-8")
        _README.write_text(_MEASURED.sub(lambda _: markdown(result), text), encoding="utf-8")
    text = json.dumps(document(result), indent=2) if options.json else _text(result, options)
    sys.stdout.write(f"{text.rstrip()}\n")
    return 0


def _text(result: Result, options: argparse.Namespace) -> str:
    return markdown(result) if options.markdown else table(result)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="in the thread that is listed")
    parser.add_argument("--latency", type=int, default=50, help="milliseconds from a request to its reply")
    parser.add_argument("--rounds", type=int, default=5, help="of what takes CPU, and half of them of what waits")
    parser.add_argument("--form", choices=FORMS, default="pretty", help="of the service's JSON")
    parser.add_argument("--quick", action="store_true", help="few messages, no latency, one round: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the README instead")
    parser.add_argument("--readme", action="store_true", help="put the tables into the README")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the picture of the README, PNG or SVG")
    return parser


def run(options: argparse.Namespace) -> Result:
    """Fill a store, serve it, and measure everything."""
    if options.quick:
        options.messages, options.latency, options.rounds = 300, 1, 1
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store.db")
        fill(store, options.messages)
        with served(store, options.latency, options.form) as urls:
            cold = Cold(urls, options.rounds)
            return _measured(options, urls, cold)


def _measured(options: argparse.Namespace, urls: Urls, cold: Cold) -> Result:
    messages, rounds = options.messages, options.rounds
    with clients(urls.near, messages) as near:
        _compare(near)
        asked = shapes(near, messages)
        quick = measure(cases.near(near, messages), rounds)
    with clients(urls.far, messages) as far:
        slow = measure(cases.distant(far, messages), max(1, rounds // 2))
        points = list(_points(far, slow, messages)) if options.plot else []
    found = slow + quick
    return Result(_facts(options), found, asked + of_cases(found), cold.memory(), cold.times(), points)


def _compare(near: Clients) -> None:
    """See that all give the same rows."""
    expected = [tuple(map(_parsed, row)) for row in near.floor.list_all(LISTED)]
    for client in (near.loop, near.first, near.again):
        if [tuple(map(_parsed, row)) for row in client.list_all(LISTED)] != expected:
            raise RuntimeError("not all give the same rows")


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


def _points(far: Clients, measured: list[Measured], messages: int) -> Iterator[Point]:
    for length in LENGTHS:
        if length < messages:
            yield from _points_of(far, length)
    yield from (Point(one.case.way, messages, one.wall) for one in measured if one.case.group == "one thread")


def _points_of(far: Clients, length: int) -> Iterator[Point]:
    thread_id = of_length(length)
    ways: list[tuple[str, Counter, Callable[[str], Sized]]] = [
        (cases.SMALL, far.official, far.official.list_small),
        (cases.OFFICIAL, far.official, far.official.list_all),
        (cases.LOOP, far.loop, far.loop.list_all),
        (cases.FIRST, far.first, far.first.list_all),
        (cases.AGAIN, far.again, far.again.list_all),
    ]
    far.again.list_all(thread_id)
    for way, counter, work in ways:
        case = Case("", way, partial(work, thread_id), counter, length, length)
        yield Point(way, length, measure([case], 1)[0].wall)


def _facts(options: argparse.Namespace) -> dict[str, str | int]:
    return {
        "messages": options.messages,
        "latency ms": options.latency,
        "JSON": options.form,
        "rounds": options.rounds,
        "Python": platform.python_version(),
        "cores": os.cpu_count() or 1,
    }


if __name__ == "__main__":
    sys.exit(main())
