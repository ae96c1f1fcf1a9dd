"""Files of thread ids: what is read from them, and what is said of those that cannot be read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages_dbapi.errors import DataError, Error, OperationalError
from messages_dbapi.scope import FileSource, parse_source, read_thread_ids

IDS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)).map(
    lambda ids: [thread for thread in ids if thread not in (".", "..") and not thread.startswith("#")]
)


def source(folder: Path, name: str, content: str | bytes, column: str = "") -> FileSource:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = parse_source(f"{file}#{column}" if column else str(file), ())
    assert isinstance(found, FileSource)
    return found


@settings(max_examples=100, deadline=None)
@given(ids=IDS, bom=st.booleans(), end=st.sampled_from(["\n", "\r\n"]))
def test_every_format_gives_the_same_ids(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], bom: bool, end: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    start = "\ufeff" if bom else ""
    table = io.StringIO()
    csv.writer(table, lineterminator=end).writerows([["name", "thread_id"], *(['x,\n"y', thread] for thread in ids)])
    lines = end.join(json.dumps({"name": 1, "thread_id": thread}) for thread in ids)
    contents = {"ids.txt": end.join(ids), "ids.csv": table.getvalue(), "ids.jsonl": lines}
    for name, content in contents.items():
        assert read_thread_ids(source(folder, name, start + content)) == tuple(dict.fromkeys(ids))


@pytest.mark.parametrize(
    ("name", "content", "column", "ids"),
    [
        ("a.txt", "", "", ()),
        ("a.txt", "# all of ours\n\n  b \n\t\na\r\nb\n  # c\n", "", ("b", "a")),
        ("a.ids", "a,b\n", "", ("a,b",)),
        ("a.csv", "thread_id\n", "", ()),
        ("a.csv", "anything\nb\n\na\n", "", ("b", "a")),
        ("a.csv", "\n x , thread_id \n1, b \n", "", ("b",)),
        ("a.csv", "x,y\n1,2\n", "x", ("1",)),
        ("A.CSV", 'x,"y z"\n1,"2\n3"\n', "y z", ("2\n3",)),
        ("a.csv", 'x\r\n"a\r\nb"\r\n', "", ("a\r\nb",)),
        ("a.jsonl", '{"id": "a"}\n\n{"id": "b"}', "", ("a", "b")),
        ("a.ndjson", '{"id": "a", "x": 1}\r\n{"x": 2, "id": "\\u00e9"}', "id", ("a", "é")),
        ("a.jsonl", "", "", ()),
    ],
)
def test_content(tmp_path: Path, name: str, content: str, column: str, ids: tuple[str, ...]) -> None:
    assert read_thread_ids(source(tmp_path, name, content, column)) == ids


@pytest.mark.parametrize(
    ("name", "content", "column", "kind", "says"),
    [
        ("a.txt", b"a\n\xff\n", "", OperationalError, "not UTF-8"),
        ("a.txt", "a\n..\n", "", DataError, "line 2: '..'"),
        ("a.csv", "", "", DataError, "no column 'thread_id' (it has: none)"),
        ("a.csv", "x,y\n1,2\n", "", DataError, "no column 'thread_id' (it has: x, y)"),
        ("a.csv", "x\n1\n", "y", DataError, "no column 'y' (it has: x)"),
        ("a.csv", "x,y\na,b\nc\n", "y", DataError, "line 3: ''"),
        ("a.csv", "x,y\na,b\nc, \n", "y", DataError, "line 3: ''"),
        ("a.csv", "x\n" + "y" * 200_000, "x", DataError, "line 2"),
        ("a.jsonl", '{"x": "a"}\n{"x": ', "x", DataError, "line 2 is not JSON"),
        ("a.jsonl", "[" * 100_000, "x", DataError, "line 1 is not JSON"),
        ("a.jsonl", '["a"]', "x", DataError, "line 1 is not a JSON object"),
        ("a.jsonl", '{"x": "a"}\n{"y": "a"}', "x", DataError, "line 2 has no column 'x' (it has: y)"),
        ("a.jsonl", '{"x": 1}', "x", DataError, "line 1: 1 is not text"),
        ("a.jsonl", '{"x": null}', "x", DataError, "line 1: None is not text"),
        ("a.jsonl", '{"x": "\\ud800"}', "x", DataError, "not Unicode"),
    ],
)
def test_content_that_is_refused(
    tmp_path: Path, name: str, content: str | bytes, column: str, kind: type[Error], says: str
) -> None:
    with pytest.raises(kind) as caught:
        read_thread_ids(source(tmp_path, name, content, column))
    assert says in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(OperationalError, match="cannot be read") as caught:
            read_thread_ids(FileSource(str(path), "text"))
        assert str(path) in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)


def test_file_is_read_anew(tmp_path: Path) -> None:
    found = source(tmp_path, "a.txt", "a\n")
    assert read_thread_ids(found) == ("a",)
    source(tmp_path, "a.txt", "b\n")
    assert read_thread_ids(found) == ("b",)
