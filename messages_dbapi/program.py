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


# Where the numbers of the plans begin: SQLite's own virtual tables, such as json_each, give theirs small ones.
FIRST_PLAN = 1 << 20


class Loop(NamedTuple):
    """One scan of a virtual table: the number of its plan, and what the program does in it.

    ``runs_out``: nothing leaves the loop before the scan has ended. ``gives_rows``: rows of the result leave
    the statement in it, so that who fetches them decides how far it goes. ``repeats``: a loop around it scans
    again and again, and that loop runs out too. ``repeats_for_rows``: rows of the result
    leave the statement in that loop. ``alone``: it is the only loop of the program.
    """

    plan: int
    runs_out: bool
    gives_rows: bool
    repeats: bool
    repeats_for_rows: bool
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
        plan = _plan_number(steps, address)
        if plan < 0:
            continue
        body = steps[span.first : span.last]
        # What goes on elsewhere with a row, in a coroutine or a subroutine, may take a part of them.
        yields = any(step.opcode in ("Yield", "Gosub") for step in body)
        found.append(
            Loop(
                plan,
                not _leaves(steps, span) and not (yields and _is_cut_short(steps, around)),
                yields or any(step.opcode == "ResultRow" for step in body),
                _repeats(steps, address, around),
                _repeats_for_rows(steps, address, around),
                len(around) == 1,
            )
        )
    return found


def _repeats(steps: Sequence[_Step], address: int, around: Sequence[_Span]) -> bool:
    outer = [span for span in around if span.first <= address < span.last]
    return bool(outer) and not any(_leaves(steps, span) for span in outer)


def _repeats_for_rows(steps: Sequence[_Step], address: int, around: Sequence[_Span]) -> bool:
    outer = [span for span in around if span.first <= address < span.last]
    gives = ("ResultRow", "Yield", "Gosub")
    return any(step.opcode in gives for span in outer for step in steps[span.first : span.last])


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
    """Tell whether anything in the program ends before what it reads, as INTERSECT does with its two coroutines."""
    opcodes = [step.opcode for step in steps]
    ends = "DecrJumpZero" in opcodes or opcodes.count("InitCoroutine") > 1
    return ends or any(_leaves(steps, span) for span in around)


def _plan_number(steps: Sequence[_Step], address: int) -> int:
    """Find the plan's number, which an instruction before the scan puts where it looks for it."""
    place = steps[address].p3
    for step in reversed(steps[:address]):
        if step.opcode == "Integer" and step.p2 == place:
            return step.p1 - FIRST_PLAN
    return -1


# Instructions that put a value of the text or of a parameter into the register of their second operand.
_CONSTANTS = {"String8", "Integer", "Int64", "Real", "Variable", "Null", "Blob"}
# Of these the first operands are no registers, or are registers that stay as they are.
_KEEPING = {"VOpen", "OpenRead", "OpenEphemeral", "Once", "BeginSubrtn", "Rewind", "IsNull", "Goto", "VFilter", "VNext"}
# Instructions that pass over a row.
_PASSING = JUMPS - {"VFilter", "VNext", "Next", "Prev", "Rewind", "Last", "Goto", "Once", "SorterNext", "SorterSort"}
_CHORES = {
    "AggStep": "aggregates",
    "SorterSort": "sorts",
    "Sort": "sorts",
    "DecrJumpZero": "stops after so many rows",
}


class Place(NamedTuple):
    """Where a scan stands in the program.

    ``certain``: every run comes to it. ``nested``: a run may come to it again and again. ``circles``: what it gives
    may lead to further runs of it. ``filters``: some of its rows are passed over. ``constant``: what it is given
    stands in the statement or its parameters; ``local``: or in rows of local tables.
    """

    certain: bool
    nested: bool
    circles: bool
    filters: bool
    constant: bool
    local: bool


def places(explained: Iterable[Sequence[Any]]) -> dict[int, Place]:
    """Read the rows of EXPLAIN: where its scans stand, in the order in which they are come to, by their plans."""
    steps = [_Step(*row[:5]) for row in explained]
    filtering = {step.address: _span(steps, step) for step in steps if step.opcode == "VFilter"}
    found = {_plan_number(steps, address): _place(steps, address, span) for address, span in filtering.items()}
    return {plan: place for plan, place in found.items() if plan >= 0}


def _place(steps: Sequence[_Step], address: int, span: _Span) -> Place:
    # The last one comes back from what Init jumps to.
    jumps = [step for step in steps[:-1] if step.opcode in JUMPS and step.opcode != "Once"]
    origins = [_origin(steps, address, register) for register in _arguments(steps, address)]
    return Place(
        certain=not any(step.address < address < target for step in jumps for target in _targets(step)),
        nested=any(target <= address < step.address for step in jumps for target in _targets(step)),
        circles=any(step.opcode == "Goto" and step.p2 <= address < step.address for step in jumps),
        filters=any(step.opcode in _PASSING and step.p2 == span.last for step in steps[span.first : span.last]),
        constant=all(origin == "constant" for origin in origins),
        local=all(origin is not None for origin in origins),
    )


def _arguments(steps: Sequence[_Step], address: int) -> range:
    """Give the registers with the values of a scan's terms."""
    first = steps[address].p3 + 2
    for step in reversed(steps[:address]):
        if step.opcode == "Integer" and step.p2 == first - 1:
            return range(first, first + step.p1)
    raise ValueError(f"the scan at {address} has no number of terms")


def _origin(steps: Sequence[_Step], address: int, register: int) -> str | None:
    """Tell where the value in a register comes from: the statement, a local table; None where it is not known."""
    for step in reversed(steps[:address]):
        if step.opcode in _CONSTANTS:
            if step.p2 == register:
                return "constant"
        elif step.opcode == "Column":
            if step.p3 == register:
                return "local" if any(s.opcode == "OpenRead" and s.p1 == step.p1 for s in steps) else None
        elif step.opcode == "VInitIn":
            if step.p2 == register:
                return "constant" if _is_constant_list(steps, step.p1) else None
        elif step.opcode not in _KEEPING and register in (step.p1, step.p2, step.p3):
            return None
    return None


def _is_constant_list(steps: Sequence[_Step], cursor: int) -> bool:
    """Tell whether the values of an IN stand in the statement, or in its parameters."""
    inserts = [step for step in steps if step.opcode == "IdxInsert" and step.p1 == cursor]
    return bool(inserts) and all(_is_constant_record(steps, step) for step in inserts)


def _is_constant_record(steps: Sequence[_Step], insert: _Step) -> bool:
    made = steps[insert.address - 1]
    return made.opcode == "MakeRecord" and made.p2 == 1 and _origin(steps, made.address, made.p1) == "constant"


def chores(explained: Iterable[Sequence[Any]]) -> list[str]:
    """Read the rows of EXPLAIN: what the program does with all the rows together."""
    return list(dict.fromkeys(_CHORES[row[1]] for row in explained if row[1] in _CHORES))
