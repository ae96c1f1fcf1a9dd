"""The plan of the house: a room imports lower floors only, and each library is named in its rooms only."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import messages_dbapi

PACKAGE = Path(messages_dbapi.__file__).parent

# From the ground up; rooms of one floor do not know each other.
FLOORS = (
    "errors types resources timestamps retry exchange secrecy",
    "statement address scope lexer functions binding body decode printing crew milestones program",
    "credentials names conditions fault pace paging seal",
    "values reader translation ahead",
    "options ddl listing",
    "session sql destination",
    "client",
    "calls",
    "creation",
    "scan writing",
    "plan forecast",
    "selection execution",
    "table run explanation",
    "engine",
    "cursor",
    "connection",
    "sharing",
    "__init__ demo",
    "arguments bar",
    "cli",
    "__main__",
)
# The service stands beside the driver: of its rooms it knows the declarations and the errors only.
EMBEDDED_FLOORS = (
    "__init__ gateway documents listing",
    "database transport",
    "refusals store",
    "checks queries methods",
    "bodies",
    "app",
    "server",
    "serve",
)
SHARED = {"errors", "resources"}

LIBRARIES = {
    "apsw": "__init__ engine explanation functions plan run seal selection sharing table translation "
    "embedded.database embedded.listing embedded.store",
    "msgspec": "decode",
    "requests": "client exchange fault session embedded.transport",
    "sqlparse": "lexer",
    "tqdm": "bar",
    "urllib3": "exchange fault embedded.transport",
}


def floors(rows: tuple[str, ...], prefix: str = "") -> dict[str, int]:
    """Give the floor of each room."""
    return {f"{prefix}{room}": floor for floor, row in enumerate(rows) for room in row.split()}


DRIVER = floors(FLOORS)
EMBEDDED = floors(EMBEDDED_FLOORS, "embedded.")


def rooms() -> dict[str, Path]:
    """Find the modules of the package by their names below it."""
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}


def imports(room: str) -> Iterator[tuple[int, str]]:
    """Give what a room imports when it runs: how many packages up, and the dotted name."""
    tree = ast.parse(rooms()[room].read_text(encoding="utf-8"))
    idle = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in idle for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)


def own_imports(room: str) -> set[str]:
    """Name the rooms that a room imports; what is no room stands in the package's own."""
    found = set()
    for level, name in imports(room):
        if level:
            folder = room.split(".")[:-1][: len(room.split(".")) - level]
            dotted = ".".join([*folder, name])
            found.add(
                dotted if dotted in rooms() else f"{dotted}.__init__" if f"{dotted}.__init__" in rooms() else "__init__"
            )
    return found


def test_every_room_has_its_floor() -> None:
    assert set(rooms()) == set(DRIVER) | set(EMBEDDED)


@pytest.mark.parametrize("room", DRIVER)
def test_a_room_of_the_driver_imports_lower_floors(room: str) -> None:
    assert {other for other in own_imports(room) & set(DRIVER) if DRIVER[other] >= DRIVER[room]} == set()


@pytest.mark.parametrize("room", DRIVER)
def test_the_service_is_met_at_the_top(room: str) -> None:
    assert DRIVER[room] >= DRIVER["connection"] or not own_imports(room) & set(EMBEDDED)


@pytest.mark.parametrize("room", EMBEDDED)
def test_a_room_of_the_service_imports_lower_floors_and_what_is_shared(room: str) -> None:
    others = own_imports(room)
    assert {other for other in others & set(EMBEDDED) if EMBEDDED[other] >= EMBEDDED[room]} == set()
    assert others - set(EMBEDDED) <= SHARED


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_named_in_its_rooms_only(library: str) -> None:
    naming = {
        room for room in rooms() if any(not level and name.split(".")[0] == library for level, name in imports(room))
    }
    assert naming == set(LIBRARIES[library].split())


def test_no_other_library_is_used() -> None:
    used = {name.split(".")[0] for room in rooms() for level, name in imports(room) if not level}
    assert used - set(LIBRARIES) <= sys.stdlib_module_names


@pytest.mark.parametrize("room", [*DRIVER, *EMBEDDED])
def test_a_room_is_a_noun_and_opens_with_a_sentence(room: str) -> None:
    docstring = ast.get_docstring(ast.parse(rooms()[room].read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring.splitlines()[0].endswith(".")
    assert not set(room.split(".")[-1].split("_")) & {"utils", "util", "helpers", "helper", "common", "misc"}
