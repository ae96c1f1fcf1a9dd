"""The writes of one statement: gathered while SQLite evaluates it, then sent, in order within each thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import NamedTuple

from .body import Body, encoded
from .calls import Calls
from .creation import Creation
from .decode import KEY, Reader
from .errors import Error
from .resources import Resource, Verb
from .statement import Statement
from .types import Row


class Write(NamedTuple):
    """One row to create, modify or delete; ``row`` is what is known of a row before its deletion."""

    resource: Resource
    verb: Verb
    scope: str | None
    key: str | None = None
    body: Body | None = None
    row: Row | None = None

    @property
    def sequence(self) -> tuple[str | None, str | None]:
        """Name what must be written one after the other: creates in one thread, changes of one row."""
        return (self.scope, self.key)


class Writing:
    """Gather the writes of one statement, send them, and keep what the service answered."""

    def __init__(self, calls: Calls, creation: Creation, statement: Statement, concurrency: int) -> None:
        self._calls = calls
        self._creation = creation
        self._statement = statement
        self._concurrency = concurrency
        self._pending: list[Write] = []
        self._sent = 0
        self.rows: list[Row] = []
        self.count = 0
        self.ids: list[str] = []

    @property
    def pending(self) -> int:
        """Tell how many rows wait to be sent."""
        return len(self._pending)

    @property
    def scopes(self) -> set[str | None]:
        """Name the threads of the rows that wait to be sent."""
        return {write.scope for write in self._pending}

    def add(self, write: Write) -> None:
        """Take a write in; nothing is sent before ``send``."""
        self._pending.append(write)

    def send(self, reader: Reader, count: int | None = None) -> None:
        """Send what was gathered, or the first ``count`` writes of it.

        The rows that the service confirmed are kept in the order of the statement.
        ``reader`` reads its replies.
        An error carries ``applied``, ``ids`` and ``outcome``; nothing is sent after it.
        """
        count = len(self._pending) if count is None else count
        writes, self._pending = self._pending[:count], self._pending[count:]
        if not writes:
            return
        self._statement.expect(len(writes))
        batch = _Batch(writes, partial(self._send_one, reader), self._concurrency, self._statement.replied)
        try:
            self._run(batch, writes)
            error = batch.error(self._sent)
            if error is not None:
                self._mark(error)
                raise error
        finally:
            self._sent += count

    def _mark(self, error: Error) -> None:
        error.applied = self.count
        error.ids = tuple(self.ids)
        error.outcome = error.outcome or "failed"

    def report(self, error: Error) -> None:
        """Say on any error of the statement what was written, also where it met none of the writes."""
        if error.applied is not None:
            return
        self._mark(error)
        if self.count:
            error.args = (f"{str(error).rstrip('.')}. Before that, {self.count} rows of the statement were written.",)

    def _run(self, batch: _Batch, writes: list[Write]) -> None:
        try:
            batch.run(self._statement)
        except BaseException as error:
            # Such as Ctrl-C, which has no outcome.
            self._take(writes, batch.answers)
            error.add_note(
                f"{self.count} rows of the statement were written ({', '.join(self.ids) or 'none'}); "
                "one that was on its way may have been applied too."
            )
            raise
        self._take(writes, batch.answers)

    def _take(self, writes: list[Write], answers: list[Row | None]) -> None:
        for write, answer in zip(writes, answers, strict=True):
            if answer is not None:
                self.count += 1
                self.ids.append(write.key or str(answer[KEY]))
                self.rows.append(answer)

    def _send_one(self, reader: Reader, write: Write) -> Row | None:
        if write.verb == "INSERT":
            return self._creation.create(write.resource, write.scope, write.body or {}, reader, self._statement)
        key = write.key or ""
        if write.verb == "UPDATE":
            body = encoded(write.body or {})
            return self._calls.modify(write.resource, write.scope, key, body, reader, self._statement)
        deleted = self._calls.delete(write.resource, write.scope, key, self._statement)
        return (write.row or (key, None, write.scope)) if deleted else None


class _Batch:
    """Send writes side by side, each sequence in order, until one fails."""

    def __init__(
        self, writes: list[Write], send: Callable[[Write], Row | None], concurrency: int, replied: Callable[[], None]
    ) -> None:
        self._writes = writes
        self._send = send
        self._replied = replied
        self._concurrency = concurrency
        self._stopped = threading.Event()
        self._errors: dict[int, Error] = {}
        self.answers: list[Row | None] = [None] * len(writes)

    def run(self, statement: Statement) -> None:
        sequences = self._sequences()
        workers = min(self._concurrency, len(sequences))
        if workers == 1:
            for sequence in sequences:
                self._run_sequence(sequence)
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="messages-dbapi") as pool:
            try:
                futures = [pool.submit(self._run_sequence, sequence) for sequence in sequences]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                self._stopped.set()
                statement.cancel()
                raise

    def error(self, before: int) -> Error | None:
        """Give the error to raise: one whose outcome is unknown before any other, else the first one.

        Its text names the row, ``before`` being those of earlier batches, and all others that are in doubt.
        """
        places = sorted(self._errors)
        in_doubt = [place for place in places if self._errors[place].outcome == "unknown"]
        if not places:
            return None
        place, *others = in_doubt or places[:1]
        error = self._errors[place]
        if before + len(self._writes) > 1:
            rows = _row_in_doubt(before + place + 1, [before + other + 1 for other in others])
            error.args = (f"{str(error).rstrip('.')}. {rows}",)
        return error

    def _sequences(self) -> list[list[int]]:
        sequences: dict[tuple[str | None, str | None], list[int]] = {}
        for place, write in enumerate(self._writes):
            sequences.setdefault(write.sequence, []).append(place)
        return list(sequences.values())

    def _run_sequence(self, places: list[int]) -> None:
        for place in places:
            if self._stopped.is_set():
                return
            try:
                self.answers[place] = self._send(self._writes[place])
            except Error as error:
                self._errors[place] = error
                self._stopped.set()
                return
            # Not before the answer is kept: what this raises ends the statement.
            self._replied()


def _row_in_doubt(row: int, others: list[int]) -> str:
    text = f"This was row {row} of the statement."
    if not others:
        return text
    return f"{text} Of rows {', '.join(map(str, others))} too it is not known whether they were applied."
