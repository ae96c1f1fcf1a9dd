"""Every fault at every place ends with the right answer or the promised error, and leaves nothing behind."""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

import pytest

from messages_dbapi import client

from ..wire import serving
from .cells import Cell, play, ways
from .kinds import KINDS, Kind
from .places import PLACES, Place
from .promises import PROMISES

# Seconds that a cell may take on a loaded machine; alone it takes at most a few.
_HANGS = 240
# The waits for another try pass side by side.
_AT_ONCE = 24

Waiting = tuple[Cell, Future[None]]
Cells = dict[tuple[str, str], list[Future[None]]]


def _is_ordinary(kind: Kind, place: Place) -> bool:
    """Choose one pair in three for the ordinary run: of each kind several places, of each place every third kind."""
    return (KINDS.index(kind) + PLACES.index(place)) % 3 == 0


MATRIX = [
    pytest.param(
        kind,
        place,
        id=f"{kind.name} at {place.name}",
        marks=[] if _is_ordinary(kind, place) else [pytest.mark.long],
    )
    for kind in KINDS
    for place in PLACES
    if list(ways(kind, place))
]


def _chosen(kind: Kind, place: Place, *, all_ways: bool) -> list[Cell]:
    """Choose how to play: one way, in turn from place to place, or with --long every way."""
    cells = list(ways(kind, place))
    turn = (KINDS.index(kind) + PLACES.index(place)) // 3 % len(cells)
    return cells if all_ways else [cells[turn]]


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest) -> Iterator[Cells]:
    """Play the cells of all tests that were asked for, many at once."""
    long = bool(request.config.getoption("--long"))
    chosen: list[tuple[Kind, Place]] = [
        (item.callspec.params["kind"], item.callspec.params["place"])  # type: ignore[misc]  # pytest says object
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_a_fault_at_a_place.__name__
        if long or item.get_closest_marker("long") is None
    ]
    waiting: SimpleQueue[Waiting] = SimpleQueue()
    with pytest.MonkeyPatch.context() as patch, serving() as elsewhere:
        # A body without end has to come to its end.
        patch.setattr(client, "LARGEST_REPLY", 1 << 20)
        address = f"http://127.0.0.1:{elsewhere.port}"
        cells: Cells = {}
        for kind, place in chosen:
            futures = cells[kind.name, place.name] = []
            for cell in _chosen(kind, place, all_ways=long):
                futures.append(Future())
                waiting.put((cell, futures[-1]))
        for _ in range(_AT_ONCE):
            # No pool: the end of the run would wait for a cell that hangs.
            threading.Thread(target=_play_all, args=(waiting, address), daemon=True).start()
        yield cells
        assert elsewhere.connections == 0, "a redirect was followed to another host"


def _play_all(waiting: SimpleQueue[Waiting], elsewhere: str) -> None:
    with suppress(Empty):
        while True:
            cell, future = waiting.get_nowait()
            try:
                play(cell, elsewhere)
                future.set_result(None)
            except BaseException as error:  # noqa: BLE001  # whatever it is, the test raises it
                future.set_exception(error)


@pytest.mark.parametrize(("kind", "place"), MATRIX)
def test_a_fault_at_a_place(kind: Kind, place: Place, matrix: Cells) -> None:
    for cell in matrix[kind.name, place.name]:
        try:
            cell.result(_HANGS)
        except TimeoutError:
            faulthandler.dump_traceback(sys.stderr)
            raise


def test_the_names_of_the_declarations_are_their_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert len({place.name for place in PLACES}) == len(PLACES)


def test_every_promise_is_kept_by_a_kind() -> None:
    assert {kind.promise for kind in KINDS} == set(PROMISES)
    assert len({promise.fault for promise in PROMISES}) == len(PROMISES)
