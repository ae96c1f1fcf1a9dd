"""What CREATE, DROP and ALTER may do with the names of the service's tables: nothing that hides or changes one."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import NotSupportedError, ProgrammingError
from .lexer import Token
from .names import TABLES, Name, Style
from .reader import Reader

_TEMP = ("TEMP", "TEMPORARY")


def check(tokens: Sequence[Token]) -> None:
    """Refuse a statement on tables and views that would hide or change one of the service's.

    Raises ProgrammingError for a new table, view or index of such a name without a local schema, and
    NotSupportedError for a change to one.
    """
    reader = Reader(tokens)
    verb = reader.take_any(("CREATE", "DROP", "ALTER"))
    if verb == "CREATE":
        _check_create(reader)
    elif verb == "DROP":
        _check_drop(reader)
    elif verb == "ALTER" and reader.take("TABLE"):
        _check_alter(reader)


def style(tokens: Sequence[Token]) -> Style:
    """Tell how the service's tables are written in this statement.

    SQLite lets a stored view or a trigger name no schema but its own; a TEMP view may name any.
    """
    reader = Reader(tokens)
    if not reader.take("CREATE"):
        return "qualified"
    temporary = reader.take_any(_TEMP)
    if reader.take("TRIGGER"):
        return "bare"
    if temporary or not reader.take("VIEW"):
        return "qualified"
    reader.take("IF", "NOT", "EXISTS")
    name = reader.take_name()
    return "qualified" if name is None or name.folded[0] == "temp" else "bare"


def _check_create(reader: Reader) -> None:
    temporary = bool(reader.take_any(_TEMP))
    reader.take_any(("UNIQUE", "VIRTUAL"))
    what = reader.take_any(("TABLE", "VIEW", "INDEX", "TRIGGER"))
    reader.take("IF", "NOT", "EXISTS")
    name = reader.take_name()
    if not what or name is None:
        return
    _check_new_name(f"{'TEMP ' if temporary else ''}{what}", name)
    if what in ("INDEX", "TRIGGER") and not name.is_local and reader.skip_to("ON"):
        _check_unchanged(f"CREATE {what} ON", reader.take_name())


def _check_new_name(what: str, name: Name) -> None:
    own_name = name.spelling.rpartition(".")[2]
    if name.in_service:
        raise ProgrammingError(
            f"CREATE {what} {name.spelling}: the schema openai.assistants is the service's, and nothing can be "
            f"created in it; to make a local one, write CREATE {what.removeprefix('TEMP ')} main.{own_name}"
        )
    if name.is_local or what.endswith("TRIGGER") or name.folded[-1] not in TABLES:
        return
    raise ProgrammingError(
        f"CREATE {what} {name.spelling} would hide the service's {own_name}; to make a local one, write CREATE "
        f"{what.removeprefix('TEMP ')} main.{own_name}"
    )


def _check_drop(reader: Reader) -> None:
    what = reader.take_any(("TABLE", "VIEW"))
    reader.take("IF", "EXISTS")
    if what:
        _check_unchanged(f"DROP {what}", reader.take_name())


def _check_alter(reader: Reader) -> None:
    name = reader.take_name()
    _check_unchanged("ALTER TABLE", name)
    new_name = reader.take_name() if reader.take("RENAME", "TO") else None
    if new_name is None or name is None or name.is_local or new_name.folded[0] not in TABLES:
        return
    raise ProgrammingError(
        f"ALTER TABLE {name.spelling} RENAME TO {new_name.spelling} would hide the service's {new_name.spelling}; "
        f"choose another name, or write ALTER TABLE main.{name.parts[-1].spelling}"
    )


def _check_unchanged(what: str, name: Name | None) -> None:
    if name is not None and name.table is not None:
        raise NotSupportedError(
            f"{what} {name.spelling}: {TABLES[name.table]} is the service's and stays as it is; for a local table of "
            f"that name write main.{name.table}"
        )
