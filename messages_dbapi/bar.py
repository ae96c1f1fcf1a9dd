"""A bar on the terminal that shows how far a statement is, where it takes long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Seconds that a statement may take without a bar, and between two pictures of it.
_PATIENCE = 1.0
_PAUSE = 0.1


class Bar:
    """Show one statement after the other; called after each reply, from any thread.

    Where there is no terminal, or no tqdm, nothing is shown.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None and stream.isatty() else None
        self._lock = threading.Lock()
        self._waits = False
        self._began = self._drawn = 0.0
        self._shown: Any = None
        self._is_drawn = False

    @property
    def is_wanted(self) -> bool:
        """Tell whether there is a terminal to show it on."""
        return self._stream is not None

    @contextmanager
    def statement(self) -> Iterator[None]:
        """Begin with a statement, which the block executes."""
        self._began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                shown, self._shown = self._shown, None
                if shown is not None:
                    shown.close()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Show the bar while the block waits for the service; after it the line is clear for what is printed."""
        with self._lock:
            self._waits = True
        try:
            yield
        finally:
            with self._lock:
                self._waits = False
                if self._is_drawn and self._stream is not None:
                    _clear(self._stream)
                self._is_drawn = False

    def __call__(self, done: int, rows: int, expected: int | None) -> None:
        """Show how far the statement is."""
        with self._lock:
            now = time.monotonic()
            if self._stream is None or not self._waits or now - self._began < _PATIENCE or now - self._drawn < _PAUSE:
                return
            self._drawn = now
            if self._shown is None:
                self._shown = self._open(self._stream, now)
            if self._shown is not None:
                # Before it is, for Ctrl-C may come between.
                self._is_drawn = True
                self._shown.n, self._shown.total = done, expected
                self._shown.set_postfix_str(f"{rows:,} rows")

    def _open(self, stream: TextIO, now: float) -> Any:
        try:
            from tqdm import tqdm
        except ImportError:
            self._stream = None
            return None
        # It would start a thread that outlives the bar.
        quiet = type("Quiet", (tqdm,), {"monitor_interval": 0})
        shown = quiet(file=stream, unit=" requests", leave=False, dynamic_ncols=True, delay=_PATIENCE)
        shown.start_t -= now - self._began
        return shown


def _clear(stream: TextIO) -> None:
    """Blank the line; tqdm itself does not know what it has written where Ctrl-C came meanwhile."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 80
    stream.write(f"\r{' ' * (columns - 1)}\r")
    stream.flush()
