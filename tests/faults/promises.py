"""What the driver promises of each group of faults: how a read, a change and a create end."""

from __future__ import annotations

from typing import NamedTuple

from messages_dbapi import errors
from messages_dbapi.errors import Error, Outcome


class End(NamedTuple):
    """How a statement ends: with the right answer (no class), or with a class, and for a write an outcome.

    ``proven``: a create that was applied ends with the right answer where that can be proven.
    """

    cls: type[Error] | None = None
    outcome: Outcome | None = None
    proven: bool = False

    @property
    def text(self) -> str:
        """Say it as the table of promises does."""
        if self.cls is None:
            return "the right answer"
        outcome = f", `{self.outcome}`" if self.outcome else ""
        return f"`{self.cls.__name__}`{outcome}"


class Ends(NamedTuple):
    """How it ends where the fault comes once, and where it stays."""

    once: End
    always: End

    @property
    def text(self) -> str:
        """Say it as the table of promises does."""
        if self.once == self.always:
            return f"looked for, not sent again; else {self.once.text}" if self.once.proven else self.once.text
        return f"tried again; then {self.always.text}"


class Promise(NamedTuple):
    """What is promised of the faults of one group; None where they do not meet such a request."""

    fault: str
    reads: Ends
    changes: Ends | None = None
    creates: Ends | None = None

    @property
    def row(self) -> str:
        """Give it as a row of the table of promises."""
        ends = (self.reads, self.changes, self.creates)
        return f"| {self.fault} | {' | '.join('not met' if end is None else end.text for end in ends)} |"


HEADER = "| What goes wrong | A read | An UPDATE or DELETE | An INSERT |"

ANSWER = End()
_ANSWERS = Ends(ANSWER, ANSWER)
_PROVEN = Ends(*[End(errors.OperationalError, "unknown", proven=True)] * 2)


def _stays(cls: type[Error], outcome: Outcome | None = None) -> Ends:
    return Ends(End(cls, outcome), End(cls, outcome))


def _passes(cls: type[Error], outcome: Outcome | None = None) -> Ends:
    return Ends(ANSWER, End(cls, outcome))


def _refused(fault: str, cls: type[Error]) -> Promise:
    """Promise one try and one error: what the service refuses it has not done."""
    return Promise(fault, _stays(cls), _stays(cls, "failed"), _stays(cls, "failed"))


UNREACHED = Promise(
    "connection refused",
    _passes(errors.OperationalError),
    _passes(errors.OperationalError, "failed"),
    _passes(errors.OperationalError, "failed"),
)
BUSY = UNREACHED._replace(fault="429; 503 with `Retry-After` or the service's own error envelope")
LOST = Promise(
    "connection lost, timeout, a reply that breaks off",
    _passes(errors.OperationalError),
    _passes(errors.OperationalError, "unknown"),
    _PROVEN,
)
BROKEN = LOST._replace(fault="408, 500, 502, 504, any other 503 or 5xx")
GARBLED = Promise(
    "a reply that is not what the API promises",
    _stays(errors.InternalError),
    _stays(errors.InternalError, "unknown"),
    _PROVEN,
)
ENDLESS = Promise(
    "a reply of more than 1 GiB", _stays(errors.OperationalError), _stays(errors.OperationalError, "unknown"), _PROVEN
)
ADVISED_AGAINST = ENDLESS._replace(fault="500 with `x-should-retry: false`")
ADVISED = Promise(
    "400 with `x-should-retry: true`",
    _passes(errors.DataError),
    _passes(errors.DataError, "failed"),
    _stays(errors.DataError, "failed"),
)
NO_CREDIT = _refused("429 for lack of credit", errors.OperationalError)
TOO_LONG = _refused("429 with a `Retry-After` of more than 120 s", errors.OperationalError)
INVALID = _refused("400, 413, 422", errors.DataError)
DENIED = _refused("401, 403, other 4xx, a redirect", errors.OperationalError)
CONFLICT = _refused("409", errors.IntegrityError)
UNABLE = _refused("405, 501", errors.NotSupportedError)
# Of a 404 each place says what it means.
MISSING = _refused("404: an unknown thread", errors.ProgrammingError)
STUCK = Promise("pages that do not advance", _stays(errors.InternalError))
EMPTY = Promise("an empty page that says more rows follow, where they do", _passes(errors.InternalError))
HARMLESS = Promise(
    "a closed kept connection; interim replies; fields unknown or left out; rows repeated, added or deleted "
    "while paging",
    _ANSWERS,
    _ANSWERS,
    _ANSWERS,
)

PROMISES = (
    HARMLESS,
    UNREACHED,
    BUSY,
    LOST,
    BROKEN,
    GARBLED,
    STUCK,
    EMPTY,
    ENDLESS,
    ADVISED_AGAINST,
    ADVISED,
    NO_CREDIT,
    TOO_LONG,
    INVALID,
    DENIED,
    CONFLICT,
    UNABLE,
    MISSING,
)
