"""The command ``messages-sql``: it runs what the command line says and turns errors into lines."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TextIO

from . import arguments, demo, errors
from .arguments import Query, Script
from .bar import Bar
from .connection import Connection, open_connection
from .cursor import Cursor
from .destination import Destination, default_store, read_text, url_of_store
from .embedded import serve
from .embedded.store import StoreError
from .errors import Error, InterfaceError
from .printing import PRINTERS, Result, visible
from .sql import split
from .statement import Progress

# As a shell reports a program that Ctrl-C or a closed pipe has ended.
_INTERRUPTED = 130
_UNREAD = 141
_ROWS_AT_ONCE = 100
_WIDTH = 80
_NARROWEST = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status; ``--help`` and ``--version`` exit by themselves."""
    with _warnings_as_lines():
        try:
            _prepare(sys.stdout)
            status = _run(sys.argv[1:] if argv is None else list(argv))
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            _drop_output()
            return _UNREAD
        except (Error, StoreError, UnicodeError) as error:
            return _fail(str(error))
        except OSError as error:
            _drop_output()
            return _fail(f"cannot write the output: {error.strerror or error}")
    return status


def _run(argv: list[str]) -> int:
    command = _COMMANDS.get(argv[0]) if argv else None
    return _query(argv) if command is None else command(argv[1:])


def _demo(argv: Sequence[str]) -> int:
    demo.show(sys.stdout, _terminal_width(sys.stdout) or _WIDTH, arguments.parse_demo(argv))
    return 0


def _serve(argv: Sequence[str]) -> int:
    chosen = arguments.parse_serve(argv)
    return serve.run(
        host=chosen.host,
        port=chosen.port,
        store=chosen.store,
        api_key=chosen.api_key,
        api_key_file=chosen.api_key_file,
    )


def _check(argv: Sequence[str]) -> int:
    asked = arguments.parse_check(argv)
    # Who asks whether a service is there does not want to wait until it is.
    hasty = replace(asked, options={"max_retries": 1, **asked.options})
    with contextlib.closing(_connect(hasty)) as connection:
        found = connection.check()
    answers = (found.reached, found.key_accepted, found.can_list_threads)
    sys.stdout.write(f"address           {visible(found.address)}\n")
    for question, answer in zip(("reached", "key accepted", "can list threads"), answers, strict=True):
        sys.stdout.write(f"{question:16}  {'yes' if answer else 'no'}\n")
    return 0


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"demo": _demo, "check": _check, "serve": _serve}


def _query(argv: Sequence[str]) -> int:
    query = arguments.parse_query(argv)
    if not query.scripts and sys.stdin is not None and sys.stdin.isatty():
        if argv:
            raise InterfaceError("there is no SQL to run: pass -c SQL, -f FILE, or - for standard input")
        arguments.print_help()
        return 0
    statements = [statement for script in query.scripts or (Script(),) for statement in split(_read(script))]
    if statements:
        return _execute_all(query, statements)
    if not argv:
        arguments.print_help()
    elif query.destination.is_named(os.environ):
        query.destination.resolve()
    return 0


def _read(script: Script) -> str:
    return read_text(script.file, "SQL") if script.text is None else script.text


def _connect(destination: Destination, progress: Progress | None = None) -> Connection:
    if not destination.is_named(os.environ):
        store = default_store()
        _say(f"no URL, so the store is {store}")
        destination = replace(destination, url=url_of_store(store))
    return open_connection(replace(destination.resolve(), progress=progress))


def _execute_all(query: Query, statements: Sequence[str]) -> int:
    """Run the statements in order, as far as the first that fails."""
    bar = Bar(sys.stderr)
    with contextlib.closing(_connect(query.destination, bar if bar.is_wanted else None)) as connection:
        connection.autocommit = True
        output = _Output(query.format, bar)
        for number, statement in enumerate(statements, 1):
            try:
                output.execute(connection, statement)
            except Error as error:
                sys.stdout.flush()
                return _fail(f"statement {number} of {len(statements)}: {error}" if len(statements) > 1 else str(error))
        # A transaction that the statements have begun and not ended.
        connection.commit()
    return 0


class _Output:
    """Print what statements answer, one after the other, in one format."""

    def __init__(self, form: str, bar: Bar) -> None:
        self._bar = bar
        self._print = PRINTERS[form]
        self._separator = "\n" if form == "table" else ""
        self._printed = False

    def execute(self, connection: Connection, statement: str) -> None:
        """Run a statement; its rows go to standard output, and how many there are to standard error."""
        with self._bar.statement(), connection.cursor() as cursor:
            with self._bar.waiting():
                cursor.execute(statement)
            count = cursor.rowcount
            if cursor.description is not None:
                count = self._print_rows(Result(cursor.description, self._rows(cursor)))
            sys.stdout.flush()
        _say(_outcome(count, cursor.lastrowid))

    def _print_rows(self, result: Result) -> int:
        sys.stdout.write(self._separator if self._printed else "")
        self._printed = True
        return self._print(result, sys.stdout, _terminal_width(sys.stdout))

    def _rows(self, cursor: Cursor) -> Iterator[tuple[object, ...]]:
        while True:
            with self._bar.waiting():
                rows = cursor.fetchmany(_ROWS_AT_ONCE)
            if not rows:
                return
            yield from rows


def _outcome(count: int, made: str | int | None) -> str:
    if count < 0:
        return "done"
    return f"{count} row{'' if count == 1 else 's'}" + (f", id {made}" if count == 1 and isinstance(made, str) else "")


def _terminal_width(stream: TextIO) -> int | None:
    """Give the width of the terminal that a stream goes to, or None where it goes elsewhere."""
    return max(shutil.get_terminal_size((_WIDTH, 24)).columns, _NARROWEST) if stream.isatty() else None


def _prepare(stream: TextIO) -> None:
    """Let no character stop the output: files and pipes are UTF-8, a terminal shows escapes for what it lacks."""
    if stream is None:
        # Python has none where the process was started without.
        raise OSError("standard output is closed")
    if not isinstance(stream, io.TextIOWrapper):
        return
    if stream.isatty():
        stream.reconfigure(errors="backslashreplace")
    else:
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")


def _drop_output() -> None:
    """Send what is still buffered nowhere, or Python reports at its end that it could not be written."""
    if sys.stdout is None:
        return
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print the warnings of this package, each time, as lines."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        _say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", errors.Warning)
        warnings.showwarning = show
        with _log_as_lines():
            yield


@contextlib.contextmanager
def _log_as_lines() -> Iterator[None]:
    """Print what the log warns of, such as a long wait, as lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    logger = logging.getLogger(__package__)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _fail(text: str) -> int:
    _say(f"error: {text}")
    return 1


def _say(text: str) -> None:
    """Print one line to standard error; the lines of a text are joined."""
    if sys.stderr is None:
        return
    line = re.sub(r"\s*\n\s*", " | ", text.strip())
    sys.stderr.write(f"{visible(re.sub(' {3,}', '  ', line))}\n")
    sys.stderr.flush()
