"""What the command line can say: the commands, their options and their help."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from . import __version__, sqlite_version
from .address import EXAMPLES
from .destination import Destination, destination
from .errors import InterfaceError
from .options import OPTION_NAMES
from .printing import PRINTERS

PROGRAM = "messages-sql"
_VERSION = f"{PROGRAM} {__version__} (SQLite {sqlite_version})"
COMMANDS = ("demo", "check", "serve")

# What stands on a command line may be a key, which has digits or is longer.
_OPTION = re.compile(r"-{1,2}[A-Za-z-]{1,24}")

_DESCRIPTION = "Run SQL on the threads and messages of a service that speaks the Assistants REST contract."
_EPILOGUE = f"""\
commands:
  demo [--store FILE]   show the statements at work on sample threads, with no key and no network
  check [URL]           report whether the service is reached and the key accepted
  serve [--port PORT]   serve a local store over HTTP
  ({PROGRAM} COMMAND --help says more)

URLs:
  messages://                                   embedded: in memory, gone afterwards
{EXAMPLES}
  Options follow a '?', as in messages:///store.db?read_only=1&timeout=10, or are given with -o.
  Without a URL: MESSAGES_URL, else OPENAI_BASE_URL, else a store in your data folder.
  A key on a command line is visible to others: put it into OPENAI_API_KEY, MESSAGES_URL or a file.

output:
  table   for reading: on a terminal cut to its width; NULL is (null), a line break \\n
  csv     UTF-8, with a heading; NULL is an empty field
  json    a list of objects for each statement; array and object columns are JSON values, not texts
  Rows go to standard output, everything else to standard error.
  Status: 0, 1 after an error, 130 after Ctrl-C, 141 if nobody reads the output.

examples:
  {PROGRAM} demo
  {PROGRAM} messages:///store.db -c "INSERT INTO threads DEFAULT VALUES RETURNING id"
  {PROGRAM} messages:///store.db -c "SELECT role, content_text FROM messages"
  {PROGRAM} -f report.sql --format csv > report.csv
  echo "SELECT * FROM messages" | {PROGRAM} --thread-id thread_abc --format json | jq .
"""


@dataclass(frozen=True)
class Script:
    """Statements to run: the text itself, or the file that holds it (``-``: standard input)."""

    text: str | None = field(default=None, repr=False)
    file: str = "-"


@dataclass(frozen=True)
class Query:
    """Scripts to run at a destination, and the format of what they answer."""

    destination: Destination
    scripts: tuple[Script, ...]
    format: str


@dataclass(frozen=True)
class Serve:
    """What to serve, and where."""

    host: str
    port: int
    store: str | None
    api_key: str | None = field(repr=False)
    api_key_file: str | None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InterfaceError(f"{message} (see {self.prog} --help)")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse options and words in any order; name what is unknown, but no word that may hold a key."""
        found, unknown = self.parse_known_intermixed_args(argv)
        if unknown:
            self.error(self._complain(unknown[0].partition("=")[0]))
        return found

    def _complain(self, argument: str) -> str:
        if not argument.startswith("-"):
            return "there is an argument too many"
        name = argument.lstrip("-").replace("-", "_")
        near = difflib.get_close_matches(argument, self._option_string_actions, 1)
        if name in OPTION_NAMES and "-o" in self._option_string_actions:
            return f"there is no option {argument}: write -o {name}=VALUE"
        shown = f"there is no option {argument}" if _OPTION.fullmatch(argument) else "there is no such option"
        return shown + (f"; did you mean {near[0]}?" if near else "")


def parse_query(argv: Sequence[str]) -> Query:
    """Read the command line of the command that runs SQL."""
    found = _query_parser().read(argv)
    words = [word for word in found.words if word != "-"]
    scripts = (*(found.scripts or ()), *(Script() for word in found.words if word == "-"))
    return Query(_destination(found, words), scripts, found.format)


def print_help() -> None:
    """Print the help of the whole program."""
    _query_parser().print_help()


def _query_parser() -> _Parser:
    parser = _parser(PROGRAM, f"%(prog)s [URL] -c SQL [options]\n       %(prog)s {{{','.join(COMMANDS)}}} …", _EPILOGUE)
    parser.add_argument("--version", action="version", version=_VERSION, help="print the version and exit")
    _add_destination(parser)
    parser.add_argument(
        "-c", dest="scripts", metavar="SQL", action="append", type=_script, help="statements to run; - reads them"
    )
    parser.add_argument(
        "-f", dest="scripts", metavar="FILE", action="append", type=_script_file, help="a file of statements to run"
    )
    parser.add_argument("--format", choices=PRINTERS, default="table", help="how rows are printed (default: table)")
    return parser


def parse_check(argv: Sequence[str]) -> Destination:
    """Read the command line of ``check``."""
    parser = _parser(
        f"{PROGRAM} check",
        "%(prog)s [URL] [options]",
        "Makes one or two requests, each tried twice at most.\n"
        "A service that is not reached, or refuses the key, is an error: status 1.",
    )
    _add_destination(parser)
    found = parser.read(argv)
    return _destination(found, found.words)


def parse_demo(argv: Sequence[str]) -> str | None:
    """Read the command line of ``demo``: the file to keep the samples in, if any."""
    parser = _parser(
        f"{PROGRAM} demo",
        "%(prog)s [--store FILE]",
        "Runs the resource's statements on a few sample threads and prints each with its answer.",
    )
    parser.add_argument("--store", metavar="FILE", help="keep the samples in this new file (default: in memory)")
    store: str | None = parser.read(argv).store
    return store


def parse_serve(argv: Sequence[str]) -> Serve:
    """Read the command line of ``serve``."""
    parser = _parser(
        f"{PROGRAM} serve",
        "%(prog)s [options]",
        "Prints its base URL first and serves until Ctrl-C or SIGTERM.\n"
        "A host that other machines can reach needs a key: OPENAI_API_KEY or one of the above.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="the port (default: any free one)")
    parser.add_argument("--store", metavar="FILE", help="the store to serve (default: in memory)")
    parser.add_argument("--api-key", metavar="KEY", help="the key to ask for; others can see it here: better a file")
    parser.add_argument("--api-key-file", metavar="FILE", help="a file that holds the key")
    found = parser.read(argv)
    return Serve(found.host, found.port, found.store, found.api_key, found.api_key_file)


def _parser(program: str, usage: str, epilogue: str) -> _Parser:
    return _Parser(
        prog=program,
        usage=usage,
        description=_DESCRIPTION if program == PROGRAM else None,
        epilog=epilogue,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_destination(parser: _Parser) -> None:
    parser.add_argument("words", metavar="URL", nargs="*", help="the service or store, see below; - reads statements")
    parser.add_argument(
        "--thread-id", metavar="ID", action="append", default=[], help="read this thread where a statement names none"
    )
    parser.add_argument(
        "-o", dest="options", metavar="NAME=VALUE", action="append", default=[], help="any option of a connection"
    )
    parser.add_argument("--api-key-file", metavar="FILE", help="a file that holds the key")


def _script(text: str) -> Script:
    return Script() if text == "-" else Script(text)


def _script_file(path: str) -> Script:
    return Script(file=path)


def _destination(found: argparse.Namespace, words: Sequence[str]) -> Destination:
    if len(words) > 1 and words[-1] in COMMANDS:
        raise InterfaceError(f"a command stands first: {PROGRAM} {words[-1]} …")
    if len(words) > 1:
        raise InterfaceError(f"one URL is enough, and here are {len(words)} words: put SQL in quotes behind -c")
    url = words[0] if words else None
    if url is not None:
        _check_word(url)
    return destination(url, found.options, found.thread_id, found.api_key_file)


def _check_word(word: str) -> None:
    """Raise InterfaceError for a word that is no URL but perhaps a mistyped command, or SQL."""
    if "://" in word:
        return
    near = difflib.get_close_matches(word, COMMANDS, 1)
    if near:
        raise InterfaceError(f"there is no command {word!r}; did you mean {near[0]!r}?")
    if re.fullmatch(r"[A-Za-z]\w*", word):
        raise InterfaceError(f"{word!r} is no URL and no command: those are {', '.join(COMMANDS)}")
    if re.match(r"\s*(/\*|--|\w+\s)", word):
        raise InterfaceError('SQL stands behind -c, as in -c "SELECT 1"; what stands alone is the URL')
