"""A disk without room, and files and folders that cannot be used: clear errors, and nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import messages_dbapi
from messages_dbapi.errors import InterfaceError

MOUNT = 'mount -t tmpfs -o size=600k disk "$DISK" || exit 77; exec "$@"'


def _may_mount() -> bool:
    return bool(shutil.which("unshare")) and _on_small_disk(Path("/mnt"), "true") == 0


def _on_small_disk(folder: Path, *command: str) -> int:
    """Run a command where the folder is a small disk, which nobody else sees and which ends with the command."""
    unshared = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", *command]
    return subprocess.run(unshared, env={**os.environ, "DISK": str(folder)}, check=False).returncode


def test_on_a_full_disk(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if not _may_mount():
        pytest.skip("a disk cannot be mounted here")
    long = ["--long"] if pytestconfig.getoption("--long") else []
    tests = str(Path(__file__).with_name("full_disk.py"))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tests, *long]
    assert _on_small_disk(tmp_path, *command) == 0


LIMITED = """
import resource, sys
import messages_dbapi
url, thread = sys.argv[1:]
with messages_dbapi.connect(url, max_retries=0) as connection:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    insert = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)"
    applied = 0
    try:
        while applied < 1000:
            connection.execute(insert, (thread, "x" * 5000))
            applied += 1
    except messages_dbapi.OperationalError as error:
        print(applied, error.outcome, error)
    assert connection.execute("SELECT count(*) FROM messages WHERE thread_id = ?", (thread,)).fetchone() == (applied,)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    connection.execute(insert, (thread, "last"))
"""


@pytest.mark.skipif(os.name != "posix", reason="RLIMIT_FSIZE")
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """A quota, or the user's limit on the size of a file."""
    url = f"messages:///{tmp_path}/store.db"
    with messages_dbapi.connect(url) as connection:
        thread = str(connection.execute("INSERT INTO threads DEFAULT VALUES").lastrowid)
    ran = subprocess.run([sys.executable, "-c", LIMITED, url, thread], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    applied, outcome, text = ran.stdout.split(" ", 2)
    assert outcome == "failed"
    assert "full" in text
    assert f"{tmp_path}/store.db" in text
    with messages_dbapi.connect(url) as connection:
        rows = connection.execute("SELECT content_text FROM messages WHERE thread_id = ?", (thread,)).fetchall()
    assert rows == [("x" * 5000,)] * int(applied) + [("last",)]


@pytest.fixture
def store() -> Iterator[Path]:
    """Give a store with a thread of one message, in a folder that other users reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "inner", "store.db")
        path.parent.mkdir()
        with messages_dbapi.connect(f"messages:///{path}") as connection:
            thread = connection.execute("INSERT INTO threads DEFAULT VALUES").lastrowid
            connection.execute("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', 'kept')", (thread,))
        yield path
        path.parent.chmod(0o700)


AS_NOBODY = """
import os, sys
import messages_dbapi, messages_dbapi.client, encodings.idna
if os.getuid() == 0:
    os.setuid(65534)
for url, read_only, operation in zip(*[iter(sys.argv[1:])] * 3):
    try:
        with messages_dbapi.connect(url, max_retries=0, read_only=bool(read_only)) as connection:
            print(connection.execute(operation).fetchall())
    except messages_dbapi.Error as error:
        print(type(error).__name__, error)
"""

SELECT = "SELECT content_text FROM messages"
INSERT = "INSERT INTO threads DEFAULT VALUES RETURNING 1"


def _as_nobody(*tries: tuple[Path, bool, str]) -> list[str]:
    """Run statements (path, read-only, SQL) as a user whom the modes of files bind: they do not bind root."""
    arguments = [
        word for path, read_only, sql in tries for word in (f"messages:///{path}", "1" if read_only else "", sql)
    ]
    command = [sys.executable, "-c", AS_NOBODY, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize(
    ("folder_mode", "mode", "reading", "writing", "creating"),
    [
        (0o777, 0o444, r"\[\('kept',\)\]", "OperationalError .*cannot be written", r"\[\(1,\)\]"),
        (
            0o555,
            0o666,
            "InterfaceError .*inner cannot be written by this user",
            "InterfaceError .*inner cannot be written by this user",
            "InterfaceError .*cannot be created in its directory",
        ),
        (
            0o777,
            0o000,
            "InterfaceError .*cannot be read by this user",
            "InterfaceError .*cannot be read by this user",
            r"\[\(1,\)\]",
        ),
        (
            0o000,
            0o666,
            "InterfaceError .*inner of the store .* cannot be entered by this user",
            "InterfaceError .*inner of the store .* cannot be entered by this user",
            "InterfaceError .*inner of the store .* cannot be entered by this user",
        ),
    ],
    ids=["read-only file", "read-only folder", "unreadable file", "unreadable folder"],
)
def test_what_this_user_may_not(
    store: Path, folder_mode: int, mode: int, reading: str, writing: str, creating: str
) -> None:
    before = store.read_bytes()
    store.chmod(mode)
    store.parent.chmod(folder_mode)
    read, read_too, written, created = _as_nobody(
        (store, True, SELECT),
        (store, False, SELECT),
        (store, False, INSERT),
        (store.with_name("new.db"), False, INSERT),
    )
    store.parent.chmod(0o700)
    store.chmod(0o600)
    assert re.match(reading, read)
    assert re.match(reading, read_too)
    assert re.match(writing, written)
    assert re.match(creating, created)
    for text in (read, written):
        assert "kept" in text or str(store) in text
    assert store.read_bytes() == before


def test_no_such_folder_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InterfaceError, match=r"nowhere of the store .*nowhere/store.db does not exist"):
        messages_dbapi.connect(f"messages:///{tmp_path}/nowhere/store.db")
    with pytest.raises(InterfaceError, match=r"expected a file, and .* is a folder"):
        messages_dbapi.connect(f"messages:///{tmp_path}")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InterfaceError, match=r"file of the store .*file/store.db does not exist"):
        messages_dbapi.connect(f"messages:///{tmp_path}/file/store.db")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
