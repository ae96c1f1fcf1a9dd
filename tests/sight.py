"""All that can be looked at after something went wrong, and every form in which a secret may stand there."""

from __future__ import annotations

import base64
import copy
import html
import json
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote, quote_plus

import messages_dbapi

PACKAGE = str(Path(messages_dbapi.__file__).parent)
OURS = (PACKAGE, str(Path(PACKAGE).with_name("sqlalchemy_messages")))
TESTS = str(Path(__file__).parent)
# What these keep in their frames was given to them, not to us; pytest's are the test's own.
OTHERS = ("sqlalchemy", "_pytest", "pluggy")


def spoken(word: str) -> dict[str, str]:
    """Spell a word as a service may repeat it, by the name of the spelling."""
    return {
        "as it is": word,
        "percent": quote(word, safe=""),
        "form": quote_plus(word),
        "JSON": json.dumps(word)[1:-1],
        "JSON, not ASCII": json.dumps(word, ensure_ascii=False)[1:-1],
        "repr": repr(word)[1:-1],
        "HTML": html.escape(word),
        "hexadecimal": word.encode().hex(),
        **{f"Base64 {begun}": base64.b64encode(b"x" * begun + word.encode()).decode() for begun in range(3)},
    }


def forms(secret: str) -> dict[str, str]:
    """Spell a secret as it is found in any text, in lower case: of Base64, the part that is the secret's alone."""
    ends = {"Base64 0": (0, -4), "Base64 1": (4, -4), "Base64 2": (4, -4)}
    spelled = {name: text[slice(*ends.get(name, (0, None)))].lower() for name, text in spoken(secret).items()}
    # Shorter ones are met by chance.
    return {name: text for name, text in spelled.items() if len(text) > 6 or name == "as it is"}


class Sight:
    """Collect what is shown while ``watching``, and search all of it for secrets."""

    def __init__(self, *secrets: str) -> None:
        self._forms = {
            f"{name} of {number}": text for number, s in enumerate(secrets) for name, text in forms(s).items()
        }
        self.shown: list[tuple[str, str]] = []

    def show(self, place: str, thing: object) -> None:
        """Look at the text and the repr of a thing."""
        self.shown += [(place, str(thing)), (place, repr(thing))]

    def show_error(self, error: BaseException, *, frames_of_others: bool = True) -> None:
        """Look at an error: its chain, its attributes, its copies, and the variables of its tracebacks."""
        self.shown.append(("traceback", "".join(traceback.format_exception(error))))
        for one in chain(error):
            place = type(one).__name__
            self.show(place, one)
            self.show(f"{place}.args", one.args)
            self.show(f"{place} variables", vars(one))
            for frame in frames(one):
                if is_ours(frame) or (frames_of_others and is_foreign(frame)):
                    self.show_frame(frame)
        if isinstance(error, messages_dbapi.Error):
            for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
                assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
                self.show("copy", vars(again))

    def show_frame(self, frame: FrameType) -> None:
        """Look at the variables of a frame."""
        for name, value in list(frame.f_locals.items()):
            self.shown.append((f"{frame.f_code.co_qualname}: {name}", repr(value)))

    def found(self) -> set[tuple[str, str, str]]:
        """Name where a secret stands, in which form, with what is before it."""
        places = set()
        for place, text in self.shown:
            lower = text.lower()
            for name, form in self._forms.items():
                at = lower.find(form)
                if at >= 0:
                    places.add((place, name, text[max(0, at - 40) : at + 20]))
        return places


def chain(error: BaseException) -> list[BaseException]:
    """Give an error and all that it came from."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and all(one is not other for other in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "orig", None)]
    return found


def frames(error: BaseException) -> list[FrameType]:
    """Give the frames of an error's traceback."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(OURS)


def is_foreign(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not file.startswith(TESTS) and not any(f"/{name}/" in file for name in OTHERS)


class _Records(logging.Handler):
    def __init__(self, sight: Sight) -> None:
        super().__init__(logging.DEBUG)
        self._sight = sight

    def emit(self, record: logging.LogRecord) -> None:
        place = f"log {record.name}"
        self._sight.shown += [(place, record.getMessage()), (place, repr(record.args))]
        error = record.exc_info[1] if record.exc_info else None
        for one in chain(error) if error is not None else ():
            self._sight.show(place, one)


@contextmanager
def watching(*secrets: str) -> Iterator[Sight]:
    """Show every log record of every logger and every warning too; in the end, no secret may have been seen."""
    sight = Sight(*secrets)
    handler, root = _Records(sight), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield sight
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    sight.show("warning", [str(warning.message) for warning in warned])
    found = sight.found()
    assert not found, found


def reprs(*things: Any) -> list[tuple[str, object]]:
    """Name things by their types."""
    return [(type(thing).__name__, thing) for thing in things]
