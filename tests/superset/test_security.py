"""Nobody who may add a database reaches the server's files or its key, however the URL is spelled."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from .conftest import add_database
from .server import Superset, serve_superset

pytest.importorskip("superset")

_REFUSED = "For reasons of security a database may not use: "


class Eavesdropper:
    """A service that notes which keys it is sent."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(self.headers.get("Authorization", ""))
                self.send_response(401)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def eavesdropper() -> Iterator[Eavesdropper]:
    """Give a service on this machine, to which the driver would send the environment's key."""
    eavesdropper = Eavesdropper()
    yield eavesdropper
    eavesdropper.close()


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of the server that nobody may see."""
    file = tmp_path_factory.mktemp("server") / "secret.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE secrets AS SELECT 'xyzzy' AS word")
    return file


def attempt(superset: Superset, url: str, **properties: Any) -> str:
    """Test a connection and add the database; give what Superset says, and make sure that it refuses both."""
    body = {"database_name": "attempt", "sqlalchemy_uri": url, **properties}
    tested = superset.request("POST", "/api/v1/database/test_connection/", json=body)
    added = superset.request("POST", "/api/v1/database/", json=body)
    assert tested.status_code >= 400, tested.text
    assert added.status_code >= 400, added.text
    assert "Unknown field" not in tested.text + added.text
    return f"{tested.text} {added.text}"


@pytest.mark.parametrize(
    ("spelled", "risk"),
    [
        ("messages:///{file}", "store"),
        ("messages:////{file}", "store"),
        ("messages+https:///{file}", "store"),
        (" messages:///{file} ", "store"),
        ("messages:///%2F{file}", "store"),
        ("messages:///~/new.db", "store"),
        ("messages:///new.db", "store"),
        ("messages:///%20", None),
        ("messages:///file:{file}?mode=ro", None),
        ("messages:///file:{file}", "store"),
        ("messages:///:memory:/../new.db", "store"),
        ("MESSAGES:///{file}", None),
        ("messages+HTTPS:///{file}", None),
        ("messages+pysqlite:///{file}", None),
        ("messages://?local={file}", "local"),
        ("messages://?local=+{file}", "local"),
        ("messages://?%6Cocal={file}", "local"),
        ("messages://?loc%61l=%2Fetc%2Fpasswd", "local"),
        ("messages+https://?local={file}", "local"),
        ("messages+http://:key@127.0.0.1:9/v1?local={file}", "local"),
        ("messages://:key@example.com/v1?thread_id=thread_1&local={file}", "local"),
        ("messages://?local=:memory:&local={file}", None),
        ("messages://?LOCAL={file}", None),
        ("messages://?local%20={file}", None),
        ("messages://?attach.x={file}", "attach"),
        ("messages://?attach%2Ex={file}", "attach"),
        ("messages://?%61ttach.x={file}", "attach"),
        ("messages://?attach.x={file}&threads=x.secrets.word", "attach"),
        ("messages://?attach.main={file}", None),
        ("messages://?ATTACH.x={file}", None),
        ("messages://?threads={file}", "threads"),
        ("messages://?threads=%2Fetc%2Fpasswd", "threads"),
        ("messages://?threads=/etc/passwd%23root", None),
        ("messages://:key@example.com/v1?threads=ids.csv%23column", "threads"),
        ("messages://?threads=x.secrets.word", "threads"),
        ("messages+http://:key@192.0.2.1/v1?allow_insecure=1", "allow_insecure"),
        ("messages+http://:key@192.0.2.1/v1?allow_insecure=TRUE", "allow_insecure"),
        ("messages+http://:key@192.0.2.1/v1?allow%5Finsecure=yes", "allow_insecure"),
        ("messages+http://:key@127.1/v1?allow_insecure=on", "allow_insecure"),
        ("messages+http://:key@192.0.2.1/v1", None),
        ("messages://?plugin=x", None),
        ("messages://?query.x=1&shared=1", None),
    ],
)
def test_files_and_plain_http(superset: Superset, secret: Path, spelled: str, risk: str | None) -> None:
    """Each way to a file, or to another machine over plain http, is refused; by name where it is well formed."""
    text = attempt(superset, spelled.format(file=str(secret)))
    assert "xyzzy" not in text
    if risk is not None:
        assert text.count(f"{_REFUSED}{risk}.") == 2
    assert not Path("new.db").exists()
    assert not Path("~/new.db").expanduser().exists()


@pytest.mark.parametrize(
    "spelled",
    [
        "messages+http://127.0.0.1:{port}/v1",
        "messages+http://localhost:{port}/v1",
        "messages+http://LOCALHOST:{port}/v1",
        "messages+http://127.0.0.2:{port}/v1",
        "messages+http://[::1]:{port}/v1",
        "messages://127.0.0.1:{port}/v1",
        "messages+https://127.0.0.1:{port}/v1",
        "messages+http://127.0.0.1:{port}/v1?headers.x-key=a",
        "messages+http://@127.0.0.1:{port}/v1",
        "messages+http://:@127.0.0.1:{port}/v1",
        "messages+http://127.1:{port}/v1",
        "messages+http://0x7f000001:{port}/v1",
        "messages+http://localhost.:{port}/v1",
        "messages+http://user@127.0.0.1:{port}/v1",
        "messages+http://127.0.0.1:{port}/v1?api_key=",
        "messages://api.openai.com/v1",
        "messages://API.openai.com:443/v1",
    ],
)
def test_the_environments_key(superset: Superset, eavesdropper: Eavesdropper, spelled: str) -> None:
    """Where the driver would send the key of Superset's own environment, it sends nothing."""
    attempt(superset, spelled.format(port=eavesdropper.port))
    assert eavesdropper.heard == []


def test_a_key_of_its_own_is_sent(superset: Superset, eavesdropper: Eavesdropper) -> None:
    """A URL with a key is asked with that key, and no other."""
    assert "401" in attempt(superset, f"messages+http://:own@127.0.0.1:{eavesdropper.port}/v1")
    assert set(eavesdropper.heard) == {"Bearer own"}


_ARGUMENTS = [
    ({"local": "{file}"}, "local"),
    ({"attach": {"x": "{file}"}}, "attach"),
    ({"threads": "{file}"}, "threads"),
    ({"base_url": "http://127.0.0.1:{port}/v1"}, "environment_key"),
    ({"base_url": "https://api.openai.com/v1"}, "environment_key"),
    ({"base_url": "http://192.0.2.1/v1", "allow_insecure": True, "api_key": "own"}, "allow_insecure"),
    ({"LOCAL": "{file}"}, None),
    ({"url": "messages:///{file}"}, None),
    ({"shared": None, "local": "{file}"}, None),
]


@pytest.mark.parametrize(("arguments", "risk"), _ARGUMENTS)
@pytest.mark.parametrize("place", ["extra", "masked_encrypted_extra"])
def test_arguments_beside_the_url(
    superset: Superset, secret: Path, eavesdropper: Eavesdropper, arguments: Any, risk: str | None, place: str
) -> None:
    """Arguments of the engine in Superset's extras are refused like the options of the URL."""
    written = json.dumps({"connect_args": arguments})
    written = written.replace("{file}", str(secret)).replace("{port}", str(eavesdropper.port))
    extra = written if place == "masked_encrypted_extra" else f'{{"engine_params": {written}}}'
    text = attempt(superset, "messages://", **{place: extra})
    assert "xyzzy" not in text
    assert eavesdropper.heard == []
    if risk is not None:
        assert text.count(f"{_REFUSED}{risk}.") == 2


def test_a_tunnel_does_not_make_it_loopback(superset: Superset) -> None:
    """At the end of a tunnel another machine has the address of this one, and still gets no key."""
    tunnel = {"server_address": "127.0.0.1", "server_port": 9, "username": "u", "password": "p"}
    attempt(superset, "messages+http://127.0.0.1:80/v1", ssh_tunnel=tunnel)


@pytest.mark.parametrize(
    "change",
    [
        {"sqlalchemy_uri": "messages:///{file}"},
        {"sqlalchemy_uri": "messages://?attach.x={file}"},
        {"extra": '{{"engine_params": {{"connect_args": {{"attach": {{"x": "{file}"}}}}}}}}'},
        {"masked_encrypted_extra": '{{"connect_args": {{"attach": {{"x": "{file}"}}}}}}'},
    ],
)
def test_a_change_afterwards(superset: Superset, secret: Path, change: dict[str, str]) -> None:
    """A database that was added well, and changed then, is of no use with what is refused."""
    database = add_database(superset, "changing", "messages://")
    try:
        body = {name: value.format(file=secret) for name, value in change.items()}
        superset.request("PUT", f"/api/v1/database/{database}", json=body)
        query = {"database_id": database, "sql": "SELECT * FROM x.secrets", "runAsync": False}
        answer = superset.request("POST", "/api/v1/sqllab/execute/", json=query)
        tables = superset.request("GET", f"/api/v1/database/{database}/tables/?q=(force:!t,schema_name:x)")
        assert answer.status_code >= 400
        assert "xyzzy" not in answer.text
        assert "secrets" not in tables.text
    finally:
        superset.delete(f"/api/v1/database/{database}")


def test_plain_text_reaches_no_file(superset: Superset, secret: Path) -> None:
    """What a URL may not say, SQL cannot say either."""
    database = add_database(superset, "sealed", "messages://", allow_dml=True)
    for sql in (f"ATTACH '{secret}' AS x", f"SELECT readfile('{secret}')", "SELECT load_extension('x')"):
        query = {"database_id": database, "sql": sql, "runAsync": False}
        assert superset.request("POST", "/api/v1/sqllab/execute/", json=query).status_code >= 400


@pytest.fixture(scope="module")
def lenient(folder: Path, superset: Superset) -> Iterator[Superset]:
    """Serve Superset as an administrator who allows everything."""
    allowed = "store, local,attach,threads,allow_insecure,environment_key"
    variables = {"OPENAI_API_KEY": "sk-of-the-server", "MESSAGES_SUPERSET_ALLOW": allowed}
    with serve_superset(folder, variables) as lenient:
        yield lenient


def test_the_administrator_allows_files(lenient: Superset, secret: Path) -> None:
    """What the administrator names is allowed."""
    database = add_database(lenient, "lenient", f"messages:///{secret.parent}/store.db?attach.x={secret}")
    query = {"database_id": database, "sql": "SELECT word FROM x.secrets", "runAsync": False}
    assert lenient.post("/api/v1/sqllab/execute/", query)["data"] == [{"word": "xyzzy"}]


def test_the_administrator_allows_the_key(lenient: Superset, eavesdropper: Eavesdropper) -> None:
    """With the administrator's leave the environment's key is sent."""
    attempt(lenient, f"messages+http://127.0.0.1:{eavesdropper.port}/v1")
    assert set(eavesdropper.heard) == {"Bearer sk-of-the-server"}
