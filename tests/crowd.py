"""One of several writers that send rows, many of them equal, into the same threads; also as a process of its own."""

from __future__ import annotations

import json
import random
import re
import sys
from typing import Any, NamedTuple

import messages_dbapi
from messages_dbapi import DatabaseError, OperationalError

INSERT = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?) RETURNING id, thread_id, content_text"
EQUAL = ("yes", "no", "ok")

Row = tuple[str, str]


class Report(NamedTuple):
    """What a writer has sent, and what it was told: the rows by the ids confirmed, and those in doubt."""

    rows: list[Row]
    confirmed: dict[str, Row]
    doubted: list[Row]
    failed: list[Row]


def write(port: int, writer: str, threads: list[str], statements: int) -> Report:
    """Send statements of some rows each by one connection, and report."""
    chance = random.Random(writer)
    report = Report([], {}, [], [])
    with messages_dbapi.connect(
        base_url=f"http://127.0.0.1:{port}/v1", headers={"X-Writer": writer}, concurrency=2
    ) as connection:
        for _ in range(statements):
            rows = [(chance.choice(threads), _text(chance, writer, report, n)) for n in range(chance.randint(1, 6))]
            report.rows.extend(rows)
            _send(connection, rows, report)
    return report


def _text(chance: random.Random, writer: str, report: Report, number: int) -> str:
    return chance.choice(EQUAL) if chance.random() < 0.4 else f"{writer} {len(report.rows) + number:06}"


def _send(connection: Any, rows: list[Row], report: Report) -> None:
    try:
        returned = connection.cursor().executemany(INSERT, rows).fetchall()
    except OperationalError as error:
        _report_failure(rows, error, report)
        return
    assert [row[1:] for row in returned] == rows
    _confirm({row[0]: row[1:] for row in returned}, len(rows), report)


def _report_failure(rows: list[Row], error: OperationalError, report: Report) -> None:
    assert error.applied == len(error.ids) < len(rows)
    doubted = [rows[number - 1] for number in rows_in_doubt(error, len(rows))]
    report.doubted.extend(doubted)
    # Which rows the ids are of is not said; the test that reads the service knows.
    _confirm(dict.fromkeys(error.ids, ("", "")), len(error.ids), report)
    report.failed.extend([] if doubted else rows)


def _confirm(found: dict[str, Row], count: int, report: Report) -> None:
    assert len(found) == count, "one id for two rows"
    assert not found.keys() & report.confirmed.keys(), "an id that was confirmed before"
    report.confirmed.update(found)


def rows_in_doubt(error: DatabaseError, count: int) -> set[int]:
    """Read from an error which rows of a statement may have been applied."""
    if error.outcome != "unknown":
        return set()
    first = re.search(r"This was row (\d+)", str(error))
    others = re.search(r"Of rows ([\d, ]+) too", str(error))
    assert first is not None or count == 1
    rows = [first[1] if first else "1", *(others[1].split(", ") if others else ())]
    return set(map(int, rows))


if __name__ == "__main__":
    json.dump(write(int(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), int(sys.argv[4])), sys.stdout)
