"""The service's refusals: an HTTP status and what its error envelope says, in the words of the contract."""

from __future__ import annotations

from collections.abc import Sequence

from .database import Reason, StoreError
from .listing import CursorError, NotFoundError

# A value shown in an error text, at most.
_SHOWN = 100


class Refusal(Exception):  # noqa: N818 - an answer of the service, not a fault in it
    """Answer a request with an error envelope."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.kind = kind
        self.headers = headers


def shown(value: str) -> str:
    """Quote a value for an error text, cut where it is long."""
    return f"'{value}'" if len(value) <= _SHOWN else f"'{value[:_SHOWN]}…'"


def kind_of(value: object) -> str:
    """Name the JSON type of a value, with its article."""
    names = ((bool, "a boolean"), (int, "an integer"), (float, "a number"), (str, "a string"), (list, "an array"))
    return "null" if value is None else next((name for kind, name in names if isinstance(value, kind)), "an object")


def wrong_type(param: str | None, expected: str, value: object) -> Refusal:
    """Refuse a value of another type than ``expected``; no ``param`` stands for the whole body."""
    name = "the request body" if param is None else f"'{param}'"
    text = f"Invalid type for {name}: expected {expected}, but got {kind_of(value)} instead."
    return Refusal(400, text, param=param, code="invalid_type")


def wrong_value(param: str, value: str, supported: Sequence[str]) -> Refusal:
    """Refuse a value that is none of those supported."""
    names = " and ".join(f"'{name}'" for name in supported)
    text = f"Invalid value for '{param}': {shown(value)}. Supported values are: {names}."
    return Refusal(400, text, param=param, code="invalid_value")


def unknown_parameter(param: str) -> Refusal:
    """Refuse a field or query parameter that the method does not have."""
    return Refusal(400, f"Unknown parameter: {shown(param)}.", param=param, code="unknown_parameter")


def missing_parameter(param: str) -> Refusal:
    """Refuse a body without a required field."""
    text = f"Missing required parameter: '{param}'."
    return Refusal(400, text, param=param, code="missing_required_parameter")


def mutually_exclusive(param: str, *others: str) -> Refusal:
    """Refuse a body with several fields of which it may have one."""
    names = ", ".join(f"'{name}'" for name in (param, *others))
    text = f"Mutually exclusive parameters: {names}. Send one of them."
    return Refusal(400, text, param=param, code="mutually_exclusive_parameters")


def integer_out_of_range(param: str, value: int, least: int, most: int) -> Refusal:
    """Refuse an integer below ``least`` or above ``most``."""
    if value < least:
        return _out_of_range(param, "integer below minimum value", f"a value >= {least}", value, "below_min")
    return _out_of_range(param, "integer above maximum value", f"a value <= {most}", value, "above_max")


def _out_of_range(param: str, what: str, expected: str, value: int, code: str) -> Refusal:
    text = f"Invalid '{param}': {what}. Expected {expected}, but got {value} instead."
    return Refusal(400, text, param=param, code=f"integer_{code}_value")


def string_too_long(param: str, most: int, length: int) -> Refusal:
    """Refuse a text of more than ``most`` code points."""
    text = (
        f"Invalid '{param}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {length} instead."
    )
    return Refusal(400, text, param=param, code="string_above_max_length")


def array_too_short(param: str, least: int, length: int) -> Refusal:
    """Refuse an array of fewer than ``least`` elements."""
    text = (
        f"Invalid '{param}': array too short. Expected an array with minimum length {least}, "
        f"but got an array with length {length} instead."
    )
    return Refusal(400, text, param=param, code="array_below_min_length")


def array_too_long(param: str, most: int, length: int) -> Refusal:
    """Refuse an array of more than ``most`` elements."""
    text = (
        f"Invalid '{param}': array too long. Expected an array with maximum length {most}, "
        f"but got an array with length {length} instead."
    )
    return Refusal(400, text, param=param, code="array_above_max_length")


def too_many_properties(param: str, most: int, count: int) -> Refusal:
    """Refuse an object of more than ``most`` pairs."""
    text = (
        f"Invalid '{param}': too many properties. Expected an object with at most {most} properties, "
        f"but got an object with {count} properties instead."
    )
    return Refusal(400, text, param=param, code="object_above_max_properties")


def key_too_long(param: str, most: int, key: str) -> Refusal:
    """Refuse an object with a name of more than ``most`` code points."""
    text = (
        f"Invalid '{param}': property name too long. Expected names with maximum length {most}, "
        f"but got one with length {len(key)} instead: {shown(key)}."
    )
    return Refusal(400, text, param=param, code="object_property_name_above_max_length")


def of_store(error: NotFoundError | CursorError | StoreError) -> Refusal:
    """Say what the store could not do."""
    if isinstance(error, NotFoundError):
        return Refusal(404, f"No {error.kind} found with id '{error.id}'.")
    if isinstance(error, CursorError):
        text = f"Invalid '{error.parameter}': no object with id {shown(error.id)} in this list."
        return Refusal(400, text, param=error.parameter, code="invalid_value")
    status, headers = _STORE_REFUSALS[error.reason]
    kind = "invalid_request_error" if status < 500 else "server_error"
    text = error.public
    return Refusal(status, f"{text[:1].upper()}{text[1:]}.", code=f"store_{error.reason}", kind=kind, headers=headers)


# A 503 or 403 in the envelope says that nothing was applied; a 500 does not.
_STORE_REFUSALS: dict[Reason, tuple[int, tuple[tuple[str, str], ...]]] = {
    "busy": (503, (("Retry-After", "1"),)),
    "full": (503, ()),
    "read_only": (403, ()),
    # Another try would find the same.
    "broken": (500, (("x-should-retry", "false"),)),
}
