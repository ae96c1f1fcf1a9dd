"""Pages of a listing equal slices of a plain list: ties, deletions, cursors, both orders, any limit."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages_dbapi.embedded.store import Draft, Page, Store

from .conftest import Service


@dataclass
class Model:
    """A thread as plain lists: all ids in ascending order, and those deleted."""

    store: Store
    thread: str
    ids: list[str] = field(default_factory=list)
    runs: dict[str, str | None] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)

    def add(self, times: list[int], runs: list[str | None]) -> None:
        """Append messages with these times and runs."""
        drafts = [Draft(content="x", created_at=time, run_id=run) for time, run in zip(times, runs, strict=True)]
        added = self.store.add_messages(self.thread, drafts)
        order = sorted(range(len(added)), key=lambda place: times[place])
        self.ids += [added[place] for place in order]
        self.runs |= dict(zip(added, runs, strict=True))

    def delete(self, message: str) -> None:
        """Delete a message that is there."""
        self.store.delete_message(self.thread, message)
        self.deleted.add(message)

    def expected(self, page: Page) -> tuple[list[str], bool]:
        """Slice the plain list as the page says."""
        ordered = self.ids if page.ascending else self.ids[::-1]
        first = 0 if page.after is None else ordered.index(page.after) + 1
        last = len(ordered) if page.before is None else ordered.index(page.before)
        rows = [
            message
            for message in ordered[first:last]
            if message not in self.deleted and page.run_id in (None, self.runs[message])
        ]
        if page.before is not None and page.after is None:
            return rows[-page.limit :], len(rows) > page.limit
        return rows[: page.limit], len(rows) > page.limit

    def listed(self, page: Page) -> tuple[list[str], bool]:
        """Ask the store."""
        rows, has_more = self.store.messages(self.thread, page)
        return [row.id for row in rows], has_more


TIMES = st.lists(st.integers(0, 3), max_size=25)
RUNS = st.sampled_from([None, "run_1", "run_2"])


def _model(store: Store, times: list[int], data: st.DataObject) -> Model:
    # A neighbour on each side, whose rows must never show.
    for position in (0, 1):
        if position:
            model = Model(store, store.add_thread().id)
        store.add_thread(messages=[Draft(content="other", created_at=time, run_id="run_1") for time in (0, 1, 3)])
    model.add(times, [data.draw(RUNS) for _ in times])
    for message in list(model.ids):
        if data.draw(st.integers(0, 4)) == 0:
            model.delete(message)
    return model


@settings(max_examples=150, deadline=None)
@given(times=TIMES, data=st.data())
def test_a_page_is_a_slice(times: list[int], data: st.DataObject) -> None:
    with Store() as store:
        model = _model(store, times, data)
        cursors = st.sampled_from([None, *model.ids])
        for _ in range(5):
            page = Page(
                limit=data.draw(st.integers(1, 30)),
                ascending=data.draw(st.booleans()),
                after=data.draw(cursors),
                before=data.draw(cursors),
                run_id=data.draw(RUNS),
            )
            assert model.listed(page) == model.expected(page)


@settings(max_examples=100, deadline=None)
@given(times=TIMES, limit=st.integers(1, 30), ascending=st.booleans(), data=st.data())
def test_a_walk_sees_each_message_once_whatever_is_deleted_meanwhile(
    times: list[int], limit: int, ascending: bool, data: st.DataObject
) -> None:
    with Store() as store:
        model = _model(store, times, data)
        remaining = [message for message in model.ids if message not in model.deleted]
        seen: list[str] = []
        after, has_more = None, True
        while has_more:
            rows, has_more = model.listed(Page(limit=limit, ascending=ascending, after=after))
            seen += rows
            after = rows[-1] if rows else after
            for message in [after, *remaining]:
                if message and message not in model.deleted and data.draw(st.integers(0, 3)) == 0:
                    model.delete(message)
        assert len(seen) == len(set(seen))
        assert seen == sorted(seen, key=model.ids.index, reverse=not ascending)
        # All that is still there was seen.
        assert set(remaining) - model.deleted <= set(seen)


@settings(max_examples=60, deadline=None)
@given(times=TIMES, limit=st.integers(1, 30), ascending=st.booleans(), data=st.data())
def test_a_walk_backwards_by_before_is_the_list(
    times: list[int], limit: int, ascending: bool, data: st.DataObject
) -> None:
    with Store() as store:
        model = _model(store, times, data)
        ordered, _ = model.expected(Page(limit=100, ascending=ascending))
        if not ordered:
            return
        seen: list[str] = [ordered[-1]]
        has_more = True
        while has_more:
            rows, has_more = model.listed(Page(limit=limit, ascending=ascending, before=seen[0]))
            seen = rows + seen
        assert seen == ordered


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 15), ascending=st.booleans(), data=st.data()
)
def test_threads_are_paged_likewise(times: list[int], limit: int, ascending: bool, data: st.DataObject) -> None:
    with Store() as store:
        added = [(time, store.add_thread(created_at=time).id) for time in times]
        ordered = [thread for _, thread in sorted(added, key=lambda pair: pair[0])]
        gone = {thread for thread in ordered if data.draw(st.integers(0, 4)) == 0}
        for thread in gone:
            store.delete_thread(thread)
        ordered = ordered if ascending else ordered[::-1]
        after = data.draw(st.sampled_from([None, *ordered]))
        rows, has_more = store.threads(Page(limit=limit, ascending=ascending, after=after))
        wanted = [thread for thread in ordered[ordered.index(after) + 1 if after else 0 :] if thread not in gone]
        assert ([row.id for row in rows], has_more) == (wanted[:limit], len(wanted) > limit)


@pytest.mark.parametrize("size", [0, 1, 19, 20, 21, 100, 101])
def test_over_http(service: Service, store: Store, size: int) -> None:
    thread = store.add_thread().id
    ids = store.add_messages(thread, [Draft(content=str(number)) for number in range(size)])[::-1]
    path = f"/threads/{thread}/messages"
    answer = service.ok("GET", path)
    assert [message["id"] for message in answer["data"]] == ids[:20]
    assert (answer["object"], answer["has_more"]) == ("list", size > 20)
    edges = (ids[0], ids[:20][-1]) if ids else (None, None)
    assert (answer["first_id"], answer["last_id"]) == edges
    whole = service.ok("GET", f"{path}?limit=100&order=asc")
    assert ([message["id"] for message in whole["data"]], whole["has_more"]) == (ids[::-1][:100], size > 100)


def test_both_cursors_and_a_run(service: Service, store: Store) -> None:
    thread = store.add_thread().id
    runs = [None, "run_1", "run_1", "run_2", "run_1", None]
    a, b, c, d, e, f = store.add_messages(thread, [Draft(content="x", run_id=run) for run in runs])

    def listed(query: str) -> list[str]:
        answer = service.ok("GET", f"/threads/{thread}/messages?{query}")
        return [message["id"] for message in answer["data"]]

    assert listed(f"order=asc&after={a}&before={e}") == [b, c, d]
    assert listed(f"order=desc&after={e}&before={a}") == [d, c, b]
    assert listed(f"order=asc&after={e}&before={a}") == []
    assert listed(f"order=asc&before={e}&limit=2") == [c, d]
    assert listed(f"order=desc&before={b}&limit=2") == [d, c]
    assert listed("order=asc&run_id=run_1") == [b, c, e]
    assert listed(f"order=asc&run_id=run_1&after={a}&before={f}&limit=2") == [b, c]
    assert listed(f"order=desc&run_id=run_1&after={d}") == [c, b]
    assert listed("run_id=none") == []
    service.ok("DELETE", f"/threads/{thread}/messages/{c}")
    assert listed(f"order=asc&after={c}") == [d, e, f]
    assert listed(f"order=asc&before={c}") == [a, b]


def test_the_clock_may_go_backwards() -> None:
    times = iter([100.9, 50.0, 50.0, 120.0, 7.0, 7.0])
    with Store(clock=lambda: next(times)) as store:
        thread = store.add_thread(messages=[Draft(content="a")])
        for text in "bcd":
            store.add_message(thread.id, Draft(content=text))
        rows, _ = store.messages(thread.id, Page(ascending=True))
        created = [row.reply.partition('"created_at":')[2].partition(",")[0] for row in rows]
        assert created == ["100", "100", "120", "120"]
        assert [row.reply.partition('"value":"')[2][0] for row in rows] == list("abcd")


def test_threads_keep_their_order_when_the_clock_goes_backwards() -> None:
    times = iter([100, 100, 50, 50, 120, 120])
    with Store(clock=lambda: next(times)) as store:
        added = [store.add_thread().id for _ in range(3)]
        assert [row.id for row in store.threads(Page(ascending=True)).rows] == added
