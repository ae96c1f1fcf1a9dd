"""The exceptions of PEP 249, what each carries, and which HTTP status raises which.

Exception
├── Warning              (also Python's own Warning)
└── Error
    ├── InterfaceError
    └── DatabaseError
        ├── DataError
        ├── OperationalError
        ├── IntegrityError
        ├── InternalError
        ├── ProgrammingError
        └── NotSupportedError
"""

from __future__ import annotations

import builtins
from typing import Literal

Outcome = Literal["failed", "unknown"]


class Warning(builtins.Warning):
    """Say what went otherwise than the user may think, without failing."""


class Error(Exception):
    """Be the base of every error of this package.

    Where the service gave them, an error has its HTTP ``status``, error ``code``, ``param``,
    ``request_id`` and ``retry_after`` (seconds). An error of a write also says how many rows were
    ``applied``, the ``ids`` of the messages or threads they made or changed, and the ``outcome`` of
    the row that stopped it: ``failed``, or ``unknown`` when the service may have applied it.
    """

    def __init__(
        self,
        *args: object,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(*args)
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after
        self.applied: int | None = None
        self.ids: tuple[str, ...] = ()
        self.outcome: Outcome | None = None


class InterfaceError(Error):
    """Report misuse of the driver: something closed, nothing executed, a bad option."""


class DatabaseError(Error):
    """Be the base of the errors of the service and of SQL."""


class DataError(DatabaseError):
    """Report a value that the service refused (400, 413, 422) or that was refused before sending."""


class OperationalError(DatabaseError):
    """Report a service that cannot be reached, or refuses for now: access, limits, time, faults."""


class IntegrityError(DatabaseError):
    """Report a required column without a value, or a conflict (409)."""


class InternalError(DatabaseError):
    """Report a reply that is not what the API promises."""


class ProgrammingError(DatabaseError):
    """Report wrong SQL: syntax, unknown names, a statement that names no thread, an unknown thread."""


class NotSupportedError(DatabaseError):
    """Report what SQL or the service cannot do here (405, 501), such as writing a read-only column."""


_CLASS_OF_STATUS: dict[int, type[DatabaseError]] = {
    400: DataError,
    405: NotSupportedError,
    409: IntegrityError,
    413: DataError,
    422: DataError,
    501: NotSupportedError,
}


def class_of_status(status: int) -> type[DatabaseError]:
    """Name the class for an HTTP status that means failure.

    A 404 is not told here: what is missing (a message, a thread, the whole API) decides its class.
    """
    return _CLASS_OF_STATUS.get(status, OperationalError)
