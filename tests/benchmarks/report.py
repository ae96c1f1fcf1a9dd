"""What was measured, as a table for people, as Markdown for the README, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import cases
from .cases import LOOP, OFFICIAL
from .cold import BARE
from .goals import Goal, goals
from .measure import Measured
from .result import Result

_HEAD = ("", "requests", "wall ms", "x loop", "CPU µs/message", "x loop", "official / it", "peak MB")
_MEMORY = {cases.OFFICIAL: "official", cases.LOOP: "loop", cases.FLOOR: "floor", cases.FIRST: "driver"}
# What the README shows of the cases.
_SHOWN = (
    cases.SMALL,
    cases.OFFICIAL,
    cases.LOOP,
    cases.FLOOR,
    cases.FIRST,
    cases.AGAIN,
    cases.SHORT,
    cases.COUNT,
    cases.GROUP,
)

Line = tuple[str, ...]


def table(result: Result) -> str:
    """Write the tables for a terminal."""
    aims = [("goal", "bound", "measured", ""), *map(_goal_line, goals(result))]
    parts = (_facts(result), _columns([_HEAD, *_case_lines(result)]), _columns(list(_cold_lines(result))))
    missed = [f"{one.name}: {one.requests} requests, floor {one.floor}" for one in result.shapes if not one.is_met]
    return "\n\n".join((*parts, _columns(aims), *missed)) + "\n"


def markdown(result: Result) -> str:
    """Write the tables for the README."""
    head = (
        "one thread",
        "requests",
        f"wall at {result.facts['latency ms']} ms",
        "CPU per message",
        "peak memory",
    )
    listed = [_shown_line(result, way) for way in _SHOWN]
    aims = [("goal", "bound", "measured", "met"), *(_goal_line(goal) for goal in goals(result))]
    return "\n\n".join((f"{_facts(result)}:", _markdown([head, *listed]), _markdown(aims))) + "\n"


def document(result: Result) -> dict[str, Any]:
    """Give the same as data for JSON; times are seconds, memory is megabytes."""
    return {
        "facts": result.facts,
        "cases": [_case_document(result, measured) for measured in result.measured],
        "shapes": [{**shape._asdict(), "met": shape.is_met} for shape in result.shapes],
        "memory": {way: grown._asdict() for way, grown in result.memory.items()},
        "cold_cpu": {name: milliseconds / 1000 for name, milliseconds in result.cold.items()},
        "points": [point._asdict() for point in result.points],
        "goals": [{**goal._asdict(), "met": goal.is_met} for goal in goals(result)],
    }


def _case_document(result: Result, measured: Measured) -> dict[str, Any]:
    case = measured.case
    return {
        "group": case.group,
        "way": case.way,
        "messages": case.messages,
        "requests": measured.requests,
        "floor": case.floor,
        "wall": measured.wall,
        "cpu_per_message": measured.cpu,
        "wall_beside_loop": measured.wall / result.of(case.group, LOOP).wall,
        "cpu_beside_loop": measured.cpu / result.of(case.group, LOOP).cpu,
    }


def _facts(result: Result) -> str:
    return ", ".join(f"{name} {value}" for name, value in result.facts.items())


def _case_lines(result: Result) -> Iterator[Line]:
    group = ""
    for measured in result.measured:
        if measured.case.group != group:
            group = measured.case.group
            yield (f"{group}:", *[""] * (len(_HEAD) - 1))
        yield _case_line(result, measured)


def _case_line(result: Result, measured: Measured) -> Line:
    case = measured.case
    loop, official = result.of(case.group, LOOP), result.of(case.group, OFFICIAL)
    return (
        f"  {case.way}",
        f"{measured.requests}",
        f"{measured.wall * 1e3:.1f}",
        f"{measured.wall / loop.wall:.2f}",
        f"{measured.cpu * 1e6:.2f}",
        f"{measured.cpu / loop.cpu:.2f}",
        f"{official.cpu / measured.cpu:.1f}",
        _peak(result, case.way) if case.group == "CPU" else "",
    )


def _peak(result: Result, way: str) -> str:
    return f"{result.memory[_MEMORY[way]].growth:.1f}" if way in _MEMORY else ""


def _shown_line(result: Result, way: str) -> Line:
    far, near = result.of("one thread", way), result.of("CPU", way)
    peak = _peak(result, way)
    return (way, f"{far.requests}", f"{far.wall:.2f} s", f"{near.cpu * 1e6:.1f} µs", f"{peak} MB" if peak else "")


def _cold_lines(result: Result) -> Iterator[Line]:
    yield ("in a process of its own", "")
    for name, milliseconds in result.cold.items():
        above = f", {milliseconds - result.cold[BARE]:.1f} above" if name != BARE else ""
        yield (f"  {name}", f"{milliseconds:.1f} ms CPU{above}")
    for way, grown in result.memory.items():
        held = f", {grown.held:.1f} MB in its rows" if grown.held else ""
        yield (f"  {way}", f"{grown.rows:,} rows, {grown.requests:,} requests, +{grown.growth:.1f} MB{held}")


def _goal_line(goal: Goal) -> Line:
    sign = "≥" if goal.at_least else "≤"
    return (
        goal.name,
        f"{sign} {goal.bound:g}{goal.unit}",
        f"{_rounded(goal.measured)}{goal.unit}",
        "yes" if goal.is_met else "no",
    )


def _rounded(number: float) -> str:
    # Three places where the bounds have two: so near a bound, one sees on which side.
    return f"{number:.0f}" if number == int(number) else f"{number:.3f}" if number < 2 else f"{number:.1f}"


def _columns(lines: Sequence[Line]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _markdown(lines: Sequence[Line]) -> str:
    rule = ("---", *["--:"] * (len(lines[0]) - 1))
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
