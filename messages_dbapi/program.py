"""What SQLite's program for a statement does with each scan: whether it reads it to its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

# Instructions whose second operand is an address they may jump to (https://sqlite.org/opcode.html, and the
# property "jump" in SQLite's opcodes.h). Not among them: Init, and Gosub and InitCoroutine, which come back.
JUMPS = {
    *("DecrJumpZero", "ElseEq", "Eq", "Filter", "FkIfZero", "Found", "Ge", "Goto", "Gt", "IdxGE", "IdxGT", "IdxLE"),
    *("IdxLT", "If", "IfEmpty", "IfNot", "IfNotOpen", "IfNotZero", "IfNoHope", "IfNullRow", "IfPos", "IfSizeBetween"),
    *("IfSmaller", "IncrVacuum", "IsNull", "IsType", "Jump", "Last", "Le", "Lt", "MustBeInt", "Ne", "Next"),
    *("NoConflict", "NotExists", "NotFound", "NotNull", "Once", "Prev", "Rewind", "RowSetRead", "RowSetTest", "SeekGE"),
    *("SeekGT", "SeekLE", "SeekLT", "SeekRowid", "SeekScan", "Sort", "SorterNext", "SorterSort", "VFilter", "VNext"),
}


class Loop(NamedTuple):
    """One scan of a virtual table: the number of its plan, and what the program does in it.

    ``runs_out``: nothing leaves the loop before the scan has ended. ``gives_rows``: rows of the result leave
    the statement in it, so that who fetches them decides how far it goes. ``repeats``: a loop around it scans
    again and again, and that loop runs out too. ``alone``: it is the only loop of the program.
    """

    plan: int
    runs_out: bool
    gives_rows: bool
    repeats: bool
    alone: bool


class _Step(NamedTuple):
    """One instruction, as EXPLAIN shows it."""

    address: int
    opcode: str
    p1: int
    p2: int
    p3: int


class _Span(NamedTuple):
    """The instructions of one loop, between its first and its last."""

    first: int
    last: int


def loops(explained: Iterable[Sequence[Any]]) -> list[Loop]:
    """Read the rows of EXPLAIN: the loops over virtual tables in it, by the number that their plan was given."""
    steps = [_Step(*row[:5]) for row in explained]
    spans = {step.address: _span(steps, step) for step in steps if step.opcode == "VFilter"}
    around = [span for span in map(_loop_of, steps) if span is not None]
    found = []
    for address, span in spans.items():
        body = steps[span.first : span.last]
        # What a coroutine gives, another loop may take a part of.
        yields = any(step.opcode == "Yield" for step in body)
        found.append(
            Loop(
                _plan_number(steps, address),
                not _leaves(steps, span) and not (yields and _is_cut_short(steps, around)),
                yields or any(step.opcode == "ResultRow" for step in body),
                _repeats(steps, address, around),
                len(around) == 1,
            )
        )
    return found


def _repeats(steps: Sequence[_Step], address: int, around: Sequence[_Span]) -> bool:
    outer = [span for span in around if span.first <= address < span.last]
    return bool(outer) and not any(_leaves(steps, span) for span in outer)


def _span(steps: Sequence[_Step], opened: _Step) -> _Span:
    for step in steps[opened.address :]:
        if step.opcode == "VNext" and step.p1 == opened.p1 and step.p2 > opened.address:
            return _Span(opened.address + 1, step.address)
    # Of a scan that is looked at once only.
    return _Span(opened.address + 1, opened.address + 1)


def _loop_of(step: _Step) -> _Span | None:
    """Give the loop that an instruction closes by jumping back."""
    closes = step.opcode in ("Next", "Prev", "SorterNext", "VNext") and step.p2 < step.address
    return _Span(step.p2, step.address) if closes else None


def _leaves(steps: Sequence[_Step], span: _Span) -> bool:
    """Tell whether an instruction of the loop goes somewhere else."""
    body = steps[span.first : span.last]
    targets = {target for step in body if step.opcode in JUMPS for target in _targets(step)}
    return not body or any(not span.first <= target <= span.last for target in targets)


def _targets(step: _Step) -> tuple[int, ...]:
    if step.opcode == "Jump":
        return (step.p1, step.p2, step.p3)
    # Nothing jumps to the start of the program: 0 says that the next instruction follows.
    return (step.p2,) if step.p2 else ()


def _is_cut_short(steps: Sequence[_Step], around: Sequence[_Span]) -> bool:
    """Tell whether anything in the program ends before what it reads."""
    return any(step.opcode == "DecrJumpZero" for step in steps) or any(_leaves(steps, span) for span in around)


def _plan_number(steps: Sequence[_Step], address: int) -> int:
    """Find the plan's number, which an instruction before the scan puts where it looks for it."""
    place = steps[address].p3
    for step in reversed(steps[:address]):
        if step.opcode == "Integer" and step.p2 == place:
            return step.p1
    return -1
