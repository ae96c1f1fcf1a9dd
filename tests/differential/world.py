"""One random content: in the service, in local tables of its connections, and in a plain SQLite database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import apsw

from messages_dbapi import functions
from messages_dbapi.connection import Connection
from messages_dbapi.cursor import Cursor
from messages_dbapi.embedded.documents import Draft, Row
from messages_dbapi.embedded.store import Page

from ..service import Service

BASE = 1_700_000_000
THREADS = ("thread_a", "THREAD_A", "5", "05", "5.0", "empty", "one", "old")
UNKNOWN = ("nobody", "thread_b")
RUNS = ("run_1", "RUN_1", "7", "07", None, None)
ROLES = ("user", "assistant")
_MESSAGE_COLUMNS = (
    "id VARCHAR, assistant_id VARCHAR, attachments JSON_TEXT, completed_at BIGINT, content JSON_TEXT, "
    "created_at BIGINT, incomplete_at BIGINT, incomplete_details JSON_TEXT, metadata JSON_TEXT, object VARCHAR, "
    "role VARCHAR, run_id VARCHAR, status VARCHAR, thread_id VARCHAR, message_id VARCHAR, content_text JSON_TEXT, "
    "_seq INTEGER"
)
_TRANSCRIPT_COLUMNS = (
    "thread_id VARCHAR, id VARCHAR, created TIMESTAMP_TEXT, role VARCHAR, text VARCHAR, run_id VARCHAR, "
    "assistant_id VARCHAR, metadata JSON_TEXT, message_id VARCHAR, _seq INTEGER"
)
_THREAD_COLUMNS = (
    "id VARCHAR, created_at BIGINT, metadata JSON_TEXT, object VARCHAR, tool_resources JSON_TEXT, thread_id VARCHAR"
)
_MESSAGE_FIELDS = [part.split()[0] for part in _MESSAGE_COLUMNS.split(", ")][:14]
_TRANSCRIPT_FIELDS = [part.split()[0] for part in _TRANSCRIPT_COLUMNS.split(", ")][:8]
_LOCAL = (
    "CREATE TABLE notes (message_id TEXT, note TEXT, stars INTEGER)",
    "CREATE TABLE picks (tid TEXT, n INTEGER, at)",
    "CREATE TABLE nums (i INTEGER, t TEXT, x)",
)
_LOCAL_ROWS = {"notes": 12, "picks": 7, "nums": 14}


@dataclass
class World:
    """Threads, messages and local rows, the same for the driver and for the oracle."""

    seed: int
    page_size: int | None = None
    # Whether requests go side by side, over a socket, and are answered after random moments.
    wide: bool = False
    service: Service = field(default_factory=Service)
    oracle: apsw.Connection = field(default_factory=lambda: apsw.Connection(":memory:"))

    def __post_init__(self) -> None:
        self.random = Random(f"world {self.seed}")
        self._added = 0
        self.ids: dict[str, list[str]] = {}
        for setting in (apsw.SQLITE_DBCONFIG_DQS_DML, apsw.SQLITE_DBCONFIG_DQS_DDL):
            self.oracle.config(setting, 0)
        functions.register(self.oracle)
        for number, thread in enumerate(self.random.sample(THREADS, len(THREADS))):
            self._add_thread(thread, number)
        self._scope = tuple(self.random.sample(THREADS, self.random.choice((1, 2, 3))))
        self._local = list(_LOCAL)
        self._fill_oracle()
        self.connections = self._connect()
        if self.wide:
            pauses = Random(f"pauses {self.seed}")
            self.service.on_seen = lambda seen: time.sleep(pauses.choice((0, 0, 0, 0.001, 0.003)))

    def close(self) -> None:
        """Close the service and all connections."""
        for connection in self.connections.values():
            connection.close()
        self.oracle.close()
        self.service.close()

    def settle(self, cursor: Cursor) -> None:
        """Wait for requests of a statement that has ended, whose replies nobody needs any more."""
        ends = time.monotonic() + 20 * self.wide
        while time.monotonic() < ends and cursor.stats.requests != len(self.service.seen):
            time.sleep(0.001)

    def _add_thread(self, thread: str, number: int) -> None:
        count = {"empty": 0, "one": 1}.get(thread) if thread in ("empty", "one") else self.random.randint(2, 14)
        metadata = {"topic": self.random.choice("ab")} if self.random.random() < 0.5 else {}
        self.service.store.add_thread(
            messages=[self._draft(thread) for _ in range(count or 0)],
            metadata=metadata,
            thread_id=thread,
            created_at=BASE + number // 2,
        )

    def _draft(self, thread: str) -> Draft:
        random = self.random
        self._added += 1
        message_id = random.choice((f"msg_{self._added}", f"MSG_{self._added}", str(self._added), f"0{self._added}"))
        self.ids.setdefault(thread, []).append(message_id)
        texts = random.choice((["hello"], ["Hello World"], ["5"], [""], ["déjà", "vu"], ['{"a": 1}'], ["100%_\\"]))
        return Draft(
            content=[{"type": "text", "text": text} for text in texts],
            role=random.choice(ROLES),
            metadata=random.choice(({}, {"k": "v"}, {"k": "V", "n": "5"}, {"é": "\n\"'"})),
            id=message_id,
            created_at=(0 if thread == "old" else BASE) + random.randint(0, 6),
            run_id=random.choice(RUNS),
            assistant_id=random.choice((None, "asst_1", "")),
            status=random.choice(("completed", "incomplete")),
            completed_at=random.choice((None, BASE + 3, 5)),
            incomplete_details=random.choice((None, None, {"reason": "max_tokens"})),
        )

    def change(self) -> None:
        """Add, delete or modify one message, in the service and for the oracle."""
        thread = self.random.choice([thread for thread in THREADS if thread != "empty"])
        kind = self.random.choice(("add", "delete", "modify"))
        ids = self.ids[thread]
        if kind == "add" or len(ids) < 2:
            self.service.store.add_message(thread, self._draft(thread))
        elif kind == "delete":
            self.service.store.delete_message(thread, ids.pop(self.random.randrange(len(ids))))
        else:
            metadata = {"k": f"changed {self.random.random()}"}
            self.service.store.modify_message(thread, self.random.choice(ids), metadata=metadata)
        self._fill_oracle()

    def _fill_oracle(self) -> None:
        tables = (("messages", _MESSAGE_COLUMNS), ("threads", _THREAD_COLUMNS), ("transcript", _TRANSCRIPT_COLUMNS))
        for name, columns in tables:
            self.oracle.execute(f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns})")
        places = ", ".join("?" * 17)
        self.oracle.executemany(f"INSERT INTO messages VALUES ({places})", list(self._messages()))
        self.oracle.execute(
            "INSERT INTO transcript SELECT thread_id, id, datetime(created_at, 'unixepoch'), role, content_text, "
            "run_id, assistant_id, metadata, id, _seq FROM messages ORDER BY _seq"
        )
        threads = [json.loads(row.reply) for row in self.service.store.threads(Page(100, ascending=True)).rows]
        self.oracle.executemany("INSERT INTO threads VALUES (?,?,?,?,?,?)", [_thread_row(thread) for thread in threads])
        self._create_oracle_views()

    def _create_oracle_views(self) -> None:
        scope = ", ".join(f"'{thread}'" for thread in self._scope)
        in_scope = f"thread_id IN ({scope})"
        fields = ", ".join(_MESSAGE_FIELDS)
        for table, columns in (("messages", fields), ("transcript", ", ".join(_TRANSCRIPT_FIELDS))):
            self._create_oracle_view(f"{table}_in_scope", "*", table, in_scope)
            self._create_oracle_view(f"all_{table}", columns, table, "1")
            self._create_oracle_view(f"all_{table}_in_scope", columns, table, in_scope)
        self._create_oracle_view("of_one", fields, "messages", "thread_id = '5'")

    def _create_oracle_view(self, name: str, columns: str, table: str, where: str) -> None:
        self.oracle.execute(f"DROP VIEW IF EXISTS {name}")
        self.oracle.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {table} WHERE {where}")

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        seq = 0
        for thread in THREADS:
            for row in self.service.store.messages(thread, Page(10_000, ascending=True)).rows:
                seq += 1
                yield _message_row(row, seq)

    def _connect(self) -> dict[str, Connection]:
        options: dict[str, dict[str, Any]] = {
            "error": {"unscoped": "error"},
            "scan": {"unscoped": "scan"},
            "scoped": {"unscoped": "error", "thread_id": self._scope},
        }
        connections = {}
        self._insert_local()
        for mode, more in options.items():
            size = self.page_size or self.random.randint(1, 10)
            connect = self.service.connect_over_http if self.wide else self.service.connect
            connection = connect(page_size=size, missing_thread="skip", **more)
            for sql, rows in self._local_statements:
                connection.execute(sql) if not rows else connection.cursor().executemany(sql, rows)
            connection.execute("CREATE VIEW all_messages AS SELECT * FROM messages")
            connection.execute("CREATE VIEW all_transcript AS SELECT * FROM transcript")
            connection.execute("CREATE VIEW of_one AS SELECT * FROM openai.assistants.messages WHERE thread_id = '5'")
            connection.commit()
            connections[mode] = connection
        return connections

    def _insert_local(self) -> None:
        random = self.random
        every = [message for ids in self.ids.values() for message in ids]
        rows: dict[str, list[tuple[Any, ...]]] = {"notes": [], "picks": [], "nums": []}
        for _ in range(12):
            note = random.choice((None, "hello", "Hello World", "a"))
            rows["notes"].append((random.choice([*every, "nothing", None]), note, random.choice((None, 1, 5))))
        for _ in range(7):
            times = (BASE + 2, str(BASE + 3), BASE + 1.0, BASE + 2.5, 3, "2023-11-14 22:13:22", "2023-11-14T22:13:23")
            at = random.choice((None, "abc", *times))
            rows["picks"].append((random.choice([*THREADS, *UNKNOWN, None]), random.randint(0, 6), at))
        mixed = (
            5,
            "5",
            5.0,
            "05",
            None,
            b"5",
            "thread_a",
            BASE + 2,
            str(BASE + 2),
            BASE + 1.5,
            "abc",
            "7",
            7,
            "user",
            "",
            "2023-11-14 22:13:21",
            "1970",
            2023,
        )
        for value in (*random.sample(mixed, 8), *random.sample(mixed, 3)):
            rows["nums"].append((value, value, value))
        self._local_statements: list[tuple[str, list[tuple[Any, ...]]]] = [(sql, []) for sql in self._local]
        self._local_statements += [(f"INSERT INTO {table} VALUES (?, ?, ?)", found) for table, found in rows.items()]
        for sql, found in self._local_statements:
            self.oracle.executemany(sql, found) if found else self.oracle.execute(sql)


def _message_row(row: Row, seq: int) -> tuple[Any, ...]:
    message = json.loads(row.reply)
    texts = [part["text"]["value"] for part in message["content"] if part["type"] == "text"]
    return (*(_sql(message[name]) for name in _MESSAGE_FIELDS), message["id"], "\n".join(texts), seq)


def _thread_row(thread: dict[str, Any]) -> tuple[Any, ...]:
    names = ("id", "created_at", "metadata", "object", "tool_resources", "id")
    return tuple(_sql(thread[name]) for name in names)


def _sql(value: Any) -> Any:
    is_json = isinstance(value, list | dict)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if is_json else value
