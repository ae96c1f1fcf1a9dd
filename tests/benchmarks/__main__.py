"""Measure the driver beside two baselines, all in one run on one machine: python -m tests.benchmarks."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import messages_dbapi

from .baselines import Loop, Official
from .cases import cases
from .cold import Cold
from .library import LISTED, fill, served
from .measure import Measured, measure
from .report import Result, document, table


def main() -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="in the thread that is listed")
    parser.add_argument("--rounds", type=int, default=5, help="of each case; the least counts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    result = run(options.messages, options.rounds)
    text = json.dumps(document(result), indent=2) if options.json else table(result)
    sys.stdout.write(f"{text.rstrip()}\n")
    return 0


def run(messages: int, rounds: int) -> Result:
    """Fill a store, serve it, and measure everything."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store.db")
        fill(store, messages)
        with served(store) as base_url:
            url = base_url.replace("http://", "messages+http://", 1)
            cold = Cold(url, Path(folder, "compiled"), rounds)
            facts = _facts(base_url, messages, rounds)
            return Result(facts, _warm(base_url, url, messages, rounds), cold.stream(), cold.times())


def _warm(base_url: str, url: str, messages: int, rounds: int) -> list[Measured]:
    with (
        closing(Loop(base_url)) as loop,
        closing(Official(base_url)) as official,
        messages_dbapi.connect(url) as connection,
    ):
        expected = loop.list_all()
        if connection.execute("SELECT * FROM messages WHERE thread_id = ?", (LISTED,)).fetchall() != expected:
            raise RuntimeError("the driver and the loop do not give the same rows")
        official.newest(1)
        return measure(cases(connection, loop, official, messages), rounds)


def _facts(base_url: str, messages: int, rounds: int) -> dict[str, str | int | float]:
    with closing(Loop(base_url)) as loop:
        size = loop.size_of_page() / min(messages, 100)
    return {
        "messages": messages,
        "bytes a message": round(size),
        "rounds": rounds,
        "Python": platform.python_version(),
        "cores": os.cpu_count() or 1,
    }


if __name__ == "__main__":
    sys.exit(main())
