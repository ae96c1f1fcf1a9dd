"""What was measured, as a table for people and as JSON, with the aims beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .measure import Measured
from .stream import Streamed

# For a case, its CPU at most as a multiple of the loop's, and at least so many times under the official client's.
_AIMS = {"SELECT *": (3.0, 5.0), "SELECT id, role": (2.0, None)}
# Milliseconds of CPU at most.
_COLD_AIMS = {"import messages_dbapi": 150, "connect, a service": 5, "connect, embedded": 5}
_GROWTH_AIM = 50

_HEAD = ("case", "requests", "wall ms", "CPU µs/message", "x loop", "under official", "aim / measured")


class Result(NamedTuple):
    """All that one run has measured."""

    facts: Mapping[str, str | int | float]
    measured: Sequence[Measured]
    streamed: Streamed
    cold: Mapping[str, float]


def table(result: Result) -> str:
    """Write the table."""
    facts = ", ".join(f"{name} {value}" for name, value in result.facts.items())
    warm = [_HEAD, *(line for measured in result.measured for line in _lines(measured, result.measured))]
    return "\n\n".join((facts, _columns(warm), _columns(list(_single_lines(result))))) + "\n"


def document(result: Result) -> dict[str, Any]:
    """Give the same as data for JSON; times are seconds."""
    cases = [
        {
            "group": measured.case.group,
            "case": measured.case.name,
            "subject": measured.case.subject,
            "requests": measured.requests,
            "wall": measured.wall,
            "cpu_per_message": measured.cpu,
            "loop_ratio": _ratio(measured, result.measured, "loop"),
            "official_ratio": _ratio(measured, result.measured, "official client"),
        }
        for measured in result.measured
    ]
    cold = {name: milliseconds / 1000 for name, milliseconds in result.cold.items()}
    return {"facts": result.facts, "cases": cases, "streamed": result.streamed._asdict(), "cold_cpu": cold}


def _lines(measured: Measured, others: Sequence[Measured]) -> Iterator[tuple[str, ...]]:
    case = measured.case
    if case.subject == "loop":
        yield ("", f"{case.group}:", "", "", "", "", "")
    loop, official = (_ratio(measured, others, subject) for subject in ("loop", "official client"))
    yield (
        case.name,
        f"{measured.requests}",
        f"{measured.wall * 1e3:.1f}",
        f"{measured.cpu * 1e6:.2f}",
        f"{loop:.2f}",
        f"{1 / official:.1f}",
        _aim(case.name, loop, official),
    )


def _ratio(measured: Measured, others: Sequence[Measured], subject: str) -> float:
    """Give the CPU as a multiple of a baseline's for the same work."""
    baseline = next(
        other for other in others if other.case.group == measured.case.group and other.case.subject == subject
    )
    return measured.cpu / baseline.cpu


def _aim(name: str, loop: float, official: float) -> str:
    at_most, under = _AIMS.get(name, (None, None))
    aims = [f"≤ {at_most:g} x loop / {loop:.2f}"] if at_most else []
    return "; ".join(aims + ([f"≥ {under:g} x under official / {1 / official:.1f}"] if under else []))


def _single_lines(result: Result) -> Iterator[tuple[str, ...]]:
    yield ("in a process of its own", "measured", "aim / measured")
    for name, milliseconds in result.cold.items():
        aim = f"< {_COLD_AIMS[name]} ms / {milliseconds:.1f}" if name in _COLD_AIMS else ""
        yield (name, f"{milliseconds:.1f} ms CPU", aim)
    streamed = result.streamed
    yield (
        f"fetchmany(1000), {streamed.messages:,} rows, {streamed.requests:,} requests",
        f"{streamed.wall:.2f} s, {streamed.cpu * 1e6:.2f} µs CPU/message, +{streamed.growth:.1f} MB",
        f"< {_GROWTH_AIM} MB / {streamed.growth:.1f}",
    )


def _columns(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
