"""The plan of the dialect: what each room may import, and how little of the driver it knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import sqlalchemy_messages

PACKAGE = Path(sqlalchemy_messages.__file__).parent
# From the ground up; rooms of one floor do not know each other, and Superset's is for its entry point only.
FLOORS = ("types", "tables", "mapping reflection", "__init__ alembic", "dialect", "superset")
FLOOR = {room: floor for floor, row in enumerate(FLOORS) for room in row.split()}
# The DBAPI module, and the declaration.
OF_THE_DRIVER = {"messages_dbapi", "messages_dbapi.resources"}
LIBRARIES = {"alembic": {"alembic"}, "superset": {"flask", "sqlglot", "superset"}}


def imports(room: str) -> Iterator[tuple[int, str]]:
    """Give what a room imports: how many packages up, and the dotted name."""
    for node in ast.walk(ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)


def test_every_room_has_its_floor() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(FLOOR)


@pytest.mark.parametrize("room", FLOOR)
def test_a_room_imports_lower_floors_and_little_of_the_driver(room: str) -> None:
    found = list(imports(room))
    own = {name for level, name in found if level}
    assert {other for other in own if FLOOR[other] >= FLOOR[room]} == set()
    driver = {name for level, name in found if not level and name.startswith("messages_dbapi")}
    assert driver <= OF_THE_DRIVER


@pytest.mark.parametrize("library", ["alembic", "flask", "sqlglot", "superset"])
def test_a_library_is_named_in_its_room_only(library: str) -> None:
    naming = {room for room in FLOOR if any(not up and name.split(".")[0] == library for up, name in imports(room))}
    assert naming == {room for room, libraries in LIBRARIES.items() if library in libraries}


def test_entry_points_lead_somewhere() -> None:
    """A load error would only be logged by those who look for them."""
    for group in ("sqlalchemy.dialects", "superset.db_engine_specs"):
        found = [point for point in entry_points(group=group) if point.name.startswith("messages")]
        assert found, group
        for point in found:
            room, _, name = point.value.partition(":")
            tree = ast.parse((PACKAGE / f"{room.rpartition('.')[2]}.py").read_text(encoding="utf-8"))
            assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
