"""Every option of a connection: its name, its values, its default, and how URL, arguments and environment combine."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import values
from .address import EXAMPLES, Address, Origin, parse_base_url, parse_url
from .credentials import KEY_HEADERS, Key, environment_key, refused_in_url, serves_environment
from .errors import InterfaceError
from .resources import PAGE_SIZE
from .scope import FileSource, ThreadSource, parse_source
from .secrecy import forgetting
from .statement import Progress
from .values import Pairs, Reader


@dataclass(frozen=True)
class Options:
    """Where a connection goes and how it behaves; times are in seconds.

    ``base_url`` has no slash at its end and is None for an embedded store, which is then the file
    ``store``, or in memory where that is None too. Files are absolute paths.
    """

    base_url: str | None
    store: str | None
    api_key: Key | None = field(repr=False)
    organization: str | None
    project: str | None
    thread_id: tuple[str, ...]
    threads: ThreadSource | None
    unscoped: Literal["error", "scan"]
    missing_thread: Literal["error", "skip"]
    read_only: bool
    concurrency: int
    rate: float | None
    remember: bool
    page_size: int
    max_requests: int | None
    timeout: float
    connect_timeout: float
    deadline: float | None
    max_retries: int
    resend: bool
    auth: Literal["bearer", "api-key"]
    # Both may hold a credential.
    headers: Pairs = field(repr=False)
    query: Pairs = field(repr=False)
    local: str | None
    attach: Pairs
    allow_insecure: bool
    progress: Progress | None = field(repr=False)

    @property
    def embedded(self) -> bool:
        """Tell whether the service is the embedded one."""
        return self.base_url is None

    @property
    def files(self) -> tuple[str, ...]:
        """Name what leads to files of this machine: ``store``, and options by their names."""
        found = {
            "store": self.store is not None,
            "threads": isinstance(self.threads, FileSource),
            "local": self.local is not None,
            "attach": bool(self.attach),
        }
        return tuple(name for name, is_there in found.items() if is_there)


def describe(options: Options) -> str:
    """Name the service in a few words, for the text of an error."""
    return _describe(options.base_url, options.store)


def _describe(base_url: str | None, store: str | None) -> str:
    return base_url or f"embedded store {store or 'in memory'}"


# single: one value. many: repeatable in a URL. pairs: a dictionary, dotted in a URL. argument: of connect() only.
Form = Literal["single", "many", "pairs", "argument"]


@dataclass(frozen=True)
class Option:
    """An option as users know it; the default of ``unscoped`` is that of a remote service."""

    name: str
    read: Reader
    default: object
    meaning: str
    form: Form = "single"
    # Makes names of a dictionary comparable that mean the same.
    fold: Callable[[str], str] = str


_DAY = 86_400

OPTIONS = (
    Option(
        "base_url", values.base_url, None, "the http(s) URL of the service, instead of a messages:// URL", "argument"
    ),
    Option("api_key", values.api_key, None, "the key, or a function that returns a token", "argument"),
    Option("thread_id", values.thread_ids, (), "the threads read where a statement names none", "many"),
    Option(
        "threads", values.path_text, None, "the same from a file or a column NAME.table.column of an attached database"
    ),
    Option("unscoped", values.choice("error", "scan"), None, "a statement without a thread: error, or every thread"),
    Option(
        "missing_thread",
        values.choice("error", "skip"),
        "error",
        "a thread that the service does not know: error or skip",
    ),
    Option("read_only", values.switch, False, "refuse INSERT, UPDATE and DELETE on the service"),
    Option("concurrency", values.whole_number(1, 256), 8, "requests in flight"),
    Option("rate", values.or_none(values.amount("requests", 10_000)), None, "requests a second"),
    Option("remember", values.switch, True, "read a thread again from places remembered of the time before"),
    Option("page_size", values.whole_number(1, PAGE_SIZE), PAGE_SIZE, "messages per list request"),
    Option("max_requests", values.or_none(values.whole_number(1)), None, "requests that one statement may make"),
    Option("timeout", values.seconds(_DAY), 60.0, "seconds without progress on one request"),
    Option("connect_timeout", values.seconds(_DAY), 5.0, "seconds to reach the service"),
    Option("deadline", values.or_none(values.seconds(30 * _DAY)), None, "seconds for one whole statement"),
    Option("max_retries", values.whole_number(0, 100), 5, "tries after the first"),
    Option("resend", values.switch, False, "send a create again after an ambiguous end"),
    Option("auth", values.choice("bearer", "api-key"), "bearer", "how the key is sent: bearer or api-key"),
    Option("headers", values.pairs(values.header, str.lower), (), "headers of every request", "pairs", str.lower),
    Option("query", values.pairs(values.parameter, str), (), "query parameters of every request", "pairs"),
    Option("local", values.file_or_memory, None, "SQLite file of local tables and views"),
    Option(
        "attach", values.pairs(values.attached, str.lower), (), "other SQLite files by schema name", "pairs", str.lower
    ),
    Option("allow_insecure", values.switch, False, "permit plain http to another machine"),
    Option("progress", values.progress, None, "a function that is told how far a statement is", "argument"),
)
OPTION_NAMES = tuple(option.name for option in OPTIONS)

_URL_NAMES = tuple(
    f"{option.name}.NAME" if option.form == "pairs" else option.name for option in OPTIONS if option.form != "argument"
)
_OPTION = {option.name: option for option in OPTIONS}
# What an unknown option may be repeated as: a key that stands in its place has digits, or is longer.
_NAME = re.compile(r"[A-Za-z_-]{0,24}(?:\..{0,48})?")
# What an error may not repeat: keys, or what may hold one.
_UNSHOWN = frozenset({"api_key", "auth", "base_url", "headers", "query"})


@forgetting
def resolve(url: str | None, arguments: Mapping[str, object], environ: Mapping[str, str]) -> Options:
    """Combine a URL, the arguments of ``connect()`` and the environment; raise InterfaceError for what is wrong.

    An argument that is None is not given; one that is given wins over the same option in the URL.
    """
    given = {name: _read(name, value) for name, value in arguments.items() if value is not None}
    address = _find_address(url, given.pop("base_url", None), environ)
    store = _store(address)
    try:
        return _build(address, store, _combine(_read_url(address), given), environ)
    except InterfaceError as error:
        raise InterfaceError(f"{error} (the connection: {_describe(address.base_url, store)})") from error


def _read(name: str, value: object) -> Any:
    if name not in _OPTION:
        raise _unknown(name, OPTION_NAMES)
    try:
        return _OPTION[name].read(value)
    except ValueError as error:
        shown = "" if name in _UNSHOWN else f" {reprlib.repr(value)}"
        raise InterfaceError(f"option {name}{shown}: expected {error}") from error


def _unknown(name: str, valid: tuple[str, ...]) -> InterfaceError:
    near = difflib.get_close_matches(name.lower(), valid, 1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    shown = f"option '{name}'" if _NAME.fullmatch(name) else "such option"
    return InterfaceError(f"there is no {shown}{hint} Valid options: {', '.join(valid)}")


def _find_address(url: str | None, base: Address | None, environ: Mapping[str, str]) -> Address:
    if url is not None:
        return _with_base(_parse(url), base)
    if base is not None:
        return base
    for variable, parse in (("MESSAGES_URL", parse_url), ("OPENAI_BASE_URL", parse_base_url)):
        text = environ.get(variable, "").strip()
        if text:
            return _from_variable(variable, text, parse)
    raise InterfaceError(
        "no URL: pass one to connect(), or set MESSAGES_URL (or OPENAI_BASE_URL to the http URL of a service), "
        f"for instance\n{EXAMPLES}"
    )


def _parse(url: object) -> Address:
    if not isinstance(url, str):
        raise InterfaceError(f"the URL is text, not {type(url).__name__}")
    return parse_url(url)


def _from_variable(variable: str, text: str, parse: Callable[[str], Address]) -> Address:
    try:
        return parse(text)
    except InterfaceError as error:
        raise InterfaceError(f"{variable}: {error}") from error


def _with_base(address: Address, base: Address | None) -> Address:
    if base is None:
        return address
    if address.origin is not None or address.path:
        raise InterfaceError("the URL says where to connect, and base_url= says it too: leave one out")
    return Address(base.origin, base.path, None, address.query)


def _store(address: Address) -> str | None:
    if address.origin is not None or not address.path:
        return None
    try:
        return values.file(address.path)
    except ValueError as error:
        raise InterfaceError(f"store {address.path!r}: expected {error}") from error


def _read_url(address: Address) -> dict[str, Any]:
    collected: dict[str, Any] = {}
    for spelled, value in address.query:
        name, dot, rest = spelled.partition(".")
        option = _OPTION.get(name)
        if option is None or (dot and option.form != "pairs"):
            raise _unknown(spelled, _URL_NAMES)
        _COLLECT[option.form](collected, option.name, rest, value)
    if address.key is not None:
        collected["api_key"] = address.key
    return {name: _read(name, value) for name, value in collected.items()}


def _collect_single(collected: dict[str, Any], name: str, _rest: str, value: str) -> None:
    if name in collected:
        raise InterfaceError(f"option {name} is there twice")
    collected[name] = value


def _collect_many(collected: dict[str, Any], name: str, _rest: str, value: str) -> None:
    collected.setdefault(name, []).append(value)


def _collect_pair(collected: dict[str, Any], name: str, rest: str, value: str) -> None:
    if not rest:
        raise InterfaceError(f"option {name} is a dictionary: write {name}.NAME=VALUE in a URL")
    if name != "attach" and refused_in_url(rest):
        raise InterfaceError(
            f"option {name}.{rest} is refused in a URL, because it may carry a credential or lead one elsewhere: "
            f"pass it by connect({name}={{'{rest}': …}})"
        )
    _collect_single(collected.setdefault(name, {}), rest, "", value)


def _refuse_argument(_collected: dict[str, Any], name: str, _rest: str, _value: str) -> None:
    instead = "pass it to connect()" if name == "progress" else "write messages://:KEY@host/base/path"
    raise InterfaceError(f"option {name} cannot stand in the query of a URL: {instead}")


_COLLECT: dict[Form, Callable[[dict[str, Any], str, str, str], None]] = {
    "single": _collect_single,
    "many": _collect_many,
    "pairs": _collect_pair,
    "argument": _refuse_argument,
}


def _combine(from_url: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    combined = {option.name: option.default for option in OPTIONS} | from_url | given
    for name in from_url.keys() & given.keys():
        if _OPTION[name].form == "pairs":
            combined[name] = _merge(from_url[name], given[name], _OPTION[name].fold)
    return combined


def _merge(base: Pairs, winner: Pairs, fold: Callable[[str], str]) -> Pairs:
    won = {fold(name) for name, _ in winner}
    return (*((name, value) for name, value in base if fold(name) not in won), *winner)


def _build(address: Address, store: str | None, combined: dict[str, Any], environ: Mapping[str, str]) -> Options:
    origin = address.origin
    if origin is not None:
        _check_transport(origin, combined["allow_insecure"])
    derived = {
        "base_url": address.base_url,
        "store": store,
        "api_key": None if origin is None else _choose_key(origin, combined, environ),
        "organization": _variable("OPENAI_ORG_ID", origin, environ),
        "project": _variable("OPENAI_PROJECT_ID", origin, environ),
        "threads": _source(combined["threads"], combined["attach"]),
        "unscoped": combined["unscoped"] or ("scan" if origin is None else "error"),
    }
    return Options(**(combined | derived))


def _check_transport(origin: Origin, allow_insecure: bool) -> None:
    if origin.scheme == "http" and not origin.loopback and not allow_insecure:
        raise InterfaceError(
            f"{origin.host} is another machine, and plain http would show key and messages to the network: "
            "use https (messages://), or allow_insecure=1"
        )


def _choose_key(origin: Origin, combined: dict[str, Any], environ: Mapping[str, str]) -> Key | None:
    header = next((name for name, _ in combined["headers"] if name.lower() in KEY_HEADERS), None)
    key: Key | None = combined["api_key"]
    if key is not None and header is not None:
        raise InterfaceError(f"a key is given, and the header {header} too: leave one out")
    # A credential that the program names stands before the environment's.
    return key if key is not None or header is not None else environment_key(origin, environ)


def _variable(name: str, origin: Origin | None, environ: Mapping[str, str]) -> str | None:
    if origin is None or not serves_environment(origin, environ):
        return None
    value = environ.get(name, "").strip()
    if not values.is_header_value(value):
        raise InterfaceError(f"{name} is not the text of a header: Latin-1 without line breaks")
    return value or None


def _source(text: str | None, attach: Pairs) -> ThreadSource | None:
    if text is None:
        return None
    try:
        return parse_source(text, [name for name, _ in attach])
    except ValueError as error:
        raise InterfaceError(f"option threads {reprlib.repr(text)}: expected {error}") from error
