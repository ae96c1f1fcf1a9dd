"""A key is seen by its service alone: given in every way, shown by nothing that goes wrong, sent nowhere else.

What a URL makes a host, a path or a file is none: ``messages://KEY/v1`` names a host.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import pytest
import requests
from urllib3.util import parse_url

import messages_dbapi
from messages_dbapi import cli
from messages_dbapi.credentials import refused_in_url
from messages_dbapi.fault import read_answer
from messages_dbapi.options import resolve

from .sight import Sight, chain, frames, is_ours, spoken, watching
from .wire import CERTIFICATE, Action, Link, closed_port, head, read, refusal, reply, serving

SELECT = "SELECT id FROM messages WHERE thread_id = 'thread_a'"
INSERT = "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'hello')"

# Shapes of a key; each holds a word that nothing else does.
KEYS = {
    "plain": "sk-zqjx-4711-canary-0815",
    "percent": "zqjx%2Fcanary%41%%zqjx",
    "at": "zqjx@canary@9471zqjx",
    "colon": "zqjx:canary:9471:zqjx",
    "slash": "zqjx/canary/9471//zqjx",
    "plus": "zqjx+canary+9471==zqjx",
    "quotes": "zqjx\"can'ary`94\\71zqjx",
    "markup": "<zqjx>&can;ary{}|^~[9471]$!*?#zqjx",
    "Base64": "enFqeC1jYW5hcnktOTQ3MQ==",
    "Latin-1": "zqjxé-canaryÿ-9471",
    "long": "zqjx-canary-" + "9471qz" * 900,
    "digits": "4711081547110815",
}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# The ways in which a key is given.


class Given(NamedTuple):
    """A connection with a key: its URL without scheme, arguments, and environment."""

    url: str | None
    arguments: dict[str, Any]
    environ: dict[str, str]


def _basic(key: str) -> str:
    return base64.b64encode(f"me:{key}".encode()).decode()


# Gives a key to the service at a place, which is a host and a port.
Way = Callable[[str, str], Given]
WAYS: dict[str, Way] = {
    "password of the URL": lambda at, key: Given(f"//:{quote(key, safe='')}@{at}/v1", {}, {}),
    "api_key": lambda at, key: Given(f"//{at}/v1", {"api_key": key}, {}),
    "api-key header": lambda at, key: Given(f"//:{quote(key, safe='')}@{at}/v1?auth=api-key", {}, {}),
    "function": lambda at, key: Given(f"//{at}/v1", {"api_key": lambda: key}, {}),
    "OPENAI_API_KEY": lambda at, key: Given(f"//{at}/v1", {}, {"OPENAI_API_KEY": key}),
    "MESSAGES_URL": lambda at, key: Given(None, {}, {"MESSAGES_URL": f"//:{quote(key, safe='')}@{at}/v1"}),
}
HEADERS = (
    ("Authorization", "Bearer KEY"),
    ("authorization", "KEY"),
    ("AUTHORIZATION", "Basic BASIC"),
    ("API-KEY", "KEY"),
    ("cookie", "theme=dark; session=KEY; lang=en"),
    ("X-Access-Token", "KEY"),
    ("X-Functions-Key", "KEY"),
)


def _by_header(name: str, value: str) -> Way:
    def give(at: str, key: str) -> Given:
        return Given(f"//{at}/v1", {"headers": {name: value.replace("KEY", key).replace("BASIC", _basic(key))}}, {})

    return give


def _by_query(name: str) -> Way:
    return lambda at, key: Given(f"//{at}/v1", {"query": {"api-version": "1", name: key}}, {})


WAYS |= {f"headers {name} {value[:8]}": _by_header(name, value) for name, value in HEADERS}
WAYS |= {f"query {name}": _by_query(name) for name in ("code", "sig", "token", "x-api-key")}


def open_given(given: Given, monkeypatch: pytest.MonkeyPatch, scheme: str = "messages+http", **more: Any) -> Any:
    """Connect to a service on this machine."""
    for name, value in given.environ.items():
        monkeypatch.setenv(name, f"{scheme}:{value}" if name == "MESSAGES_URL" else value)
    url = given.url and f"{scheme}:{given.url}"
    return messages_dbapi.connect(url, max_retries=0, **given.arguments, **more)


# What goes wrong on the way and at the service, which says all it has heard in every form.


HARMLESS = (
    *("host", "user-agent", "accept", "accept-encoding", "connection", "content-type", "content-length"),
    *("openai-beta", "proxy-connection"),
)


def told(link: Link) -> str:
    """Read a request, and say its credentials as they came and as they may be repeated."""
    seen = read(link)
    carried = [value for name, value in seen.headers.items() if name not in HARMLESS]
    heard = [*carried, *(part.partition("=")[2] for part in urlsplit(seen.target).query.split("&"))]
    words = {word for text in heard for word in (text, *text.replace(";", " ").replace("session=", "").split())}
    words |= {unquote(word) for word in words} | {word.replace("+", " ") for word in words}
    words |= {base64.b64decode(text[6:]).decode("latin-1") for text in carried if text.startswith("Basic ")}
    words |= {word.partition(":")[2] for word in words if word.startswith("me:")}
    return " ".join(spelled for word in sorted(words) for spelled in (seen.target, *spoken(word).values()))


def echo(status: int, body: Callable[[str], object], headers: Callable[[str], dict[str, str]] = lambda _: {}) -> Action:
    """Answer with what was told."""

    def act(link: Link) -> bool:
        words = told(link)
        said = body(words)
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers(words)}
        link.sock.sendall(head(status, lines) + content)
        return False

    return act


def echo_raw(data: Callable[[bytes], bytes]) -> Action:
    """Answer with bytes that are no proper reply."""

    def act(link: Link) -> bool:
        link.sock.sendall(data(told(link).encode("latin-1", "replace")))
        return False

    return act


def envelope(words: str, **error: Any) -> dict[str, Any]:
    return {"error": {"message": f"bad key: {words}", "type": "no", "param": None, "code": None, **error}}


STATUSES = (400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 413, 418, 422, 429, 500, 501, 502, 503, 504, 302, 307)

TROUBLES: dict[str, Action] = {
    **{f"{status}": echo(status, envelope) for status in STATUSES},
    "code": echo(400, lambda said: envelope("", code=said, param=said, type=said)),
    "not texts": echo(400, lambda said: envelope("", message={said: [said]}, code={said: 1}, param=[said])),
    "names": echo(400, lambda said: {said: said, "error": {said: said}}),
    "detail": echo(422, lambda said: {"detail": [{"loc": ["header", said], "msg": said}]}),
    "page": echo(502, lambda said: f"<html>{said}</html>".encode()),
    "page of 200": echo(200, lambda said: f"<html>{said}</html>".encode()),
    "request id": echo(403, lambda _: {}, lambda said: {"x-request-id": said[:20_000]}),
    "request id of 404": echo(404, lambda _: {}, lambda said: {"apim-request-id": said[:20_000]}),
    "request id of 200": echo(200, lambda _: [], lambda said: {"x-request-id": said[:20_000]}),
    "redirect": echo(307, envelope, lambda said: {"Location": f"http://127.0.0.1:9/{said[:20_000]}?{said[:20_000]}"}),
    "text that waits": echo(429, envelope, lambda _: {"Retry-After": "100000"}),
    "no JSON": echo(200, lambda said: b'{"data": [' + said.encode()),
    "no listing": echo(200, lambda said: {said: said, "data": said}),
    "no row": echo(200, lambda said: {"data": [{"id": {said: said}, "created_at": said}], "has_more": said}),
    "no Unicode": echo(
        200, lambda said: b'{"data": [{"id": "a", "content": "' + said[:50].encode("latin-1", "replace")
    ),
    "another length": echo(200, lambda said: {"data": said}, lambda _: {"Content-Length": "900000"}),
    "status line": echo_raw(lambda said: said + b"\r\n\r\n"),
    "version": echo_raw(lambda said: b"HTTP/" + said[:2000] + b" 200 OK\r\n\r\n"),
    "no status": echo_raw(lambda said: b"HTTP/1.1 " + said[:2000].replace(b" ", b"") + b" OK\r\n\r\n"),
    "reason": echo_raw(lambda said: b"HTTP/1.1 500 " + said[:2000] + b"\r\nContent-Length: 0\r\n\r\n"),
    "no header": echo_raw(lambda said: b"HTTP/1.1 500 No\r\n" + said[:2000] + b"\r\nContent-Length: 0\r\n\r\n"),
    "two lengths": echo_raw(lambda said: b"HTTP/1.1 200 OK\r\nContent-Length: 5, " + said[:2000] + b"\r\n\r\n"),
    "chunk": echo_raw(lambda said: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + said + b"\r\n\r\n"),
    "encoding": echo_raw(
        lambda said: (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, " + said[:2000] + b'\r\nContent-Length: 9\r\n\r\n{"a": 12}'
        )
    ),
    "line too long": echo_raw(lambda said: b"HTTP/1.1 200 OK\r\nX: " + said * 40 + b"\r\n\r\n"),
    "cut off": echo_raw(lambda said: b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + said),
    "hang up": lambda link: bool(told(link)) and False,
}


def look_at(sight: Sight, connection: Any, cursor: Any, sql: str) -> None:
    """Run a statement that may fail, and look at everything."""
    try:
        cursor.execute(sql).fetchall()
    except messages_dbapi.Error as error:
        sight.show_error(error)
    things = (connection, cursor, connection.options, connection._client, connection._client._way, cursor.stats)
    for thing in (*things, connection._client._way.credential, cursor.messages, cursor.description):
        sight.show(type(thing).__name__, thing)


def combine(way: str, *, whole: bool) -> Iterator[tuple[str, str]]:
    """Combine keys and troubles for a way: all where the whole is wanted, else each once or more over all ways."""
    if whole:
        yield from itertools.product(KEYS, TROUBLES)
        return
    number = list(WAYS).index(way)
    # The first way meets them all.
    troubles = list(TROUBLES)[number % 3 :: 3] if number else list(TROUBLES)
    yield from zip(itertools.islice(itertools.cycle(KEYS), number, None), troubles, strict=False)
    yield from ((shape, "401") for shape in KEYS)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_goes_wrong_shows_a_key(
    way: str, monkeypatch: pytest.MonkeyPatch, many: Callable[[int, int], int]
) -> None:
    """Each trouble, met with a key of each shape."""
    with serving() as server:
        for shape, trouble in combine(way, whole=many(0, 1) == 1):
            key = KEYS[shape]
            server.tell(*[TROUBLES[trouble]] * 3)
            before = len(server.requests)
            given = WAYS[way](f"127.0.0.1:{server.port}", key)
            with watching(key) as sight, closing(open_given(given, monkeypatch, deadline=60)) as connection:
                look_at(sight, connection, connection.cursor(), SELECT if len(trouble) % 2 else INSERT)
            assert len(server.requests) > before, "the service was not asked"
            sent = repr([(seen.target, seen.headers) for seen in server.requests[before:]]).lower()
            assert any(repr(form.lower())[1:-1] in sent for form in spoken(key).values()) or "Basic" in str(given)
            server._actions.clear()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_works_shows_a_key(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A service that answers, and all that a connection can be asked; then every file that was written."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    key = KEYS["markup"]
    page = reply(200, {"data": [], "has_more": False})
    with serving(*[page] * 20) as server, watching(key) as sight:
        given = WAYS[way](f"127.0.0.1:{server.port}", key)
        with closing(open_given(given, monkeypatch, local=tmp_path / "local.db")) as connection:
            for sql in (
                SELECT,
                f"EXPLAIN {SELECT}",
                f"EXPLAIN QUERY PLAN {SELECT}",
                "PRAGMA database_list",
                "PRAGMA table_list",
                "PRAGMA compile_options",
                "CREATE TABLE kept AS SELECT * FROM messages WHERE thread_id = 'thread_a'",
                "SELECT * FROM sqlite_schema",
            ):
                cursor = connection.execute(sql)
                sight.show(sql, cursor.fetchall() if cursor.description else None)
                for thing in (cursor, cursor.stats, cursor.messages, cursor.description):
                    sight.show(sql, thing)
            sight.show("check", connection.check())
            sight.show("connection", connection)
        forgotten = open_given(given, monkeypatch)
        del forgotten, connection
        for file in tmp_path.rglob("*"):
            if file.is_file():
                sight.show(str(file), file.read_bytes().decode("latin-1"))


@pytest.mark.parametrize("sql", [SELECT, INSERT, f"{SELECT} AND id = 'msg_1'", "check"])
def test_the_beginning_of_a_reply_is_repeated_without_the_key(sql: str) -> None:
    """What cannot be read is quoted, from its first character, and cut after the key was taken out."""
    key = KEYS["slash"]
    for padding, spelled in itertools.product((0, 190), spoken(key).values()):
        with serving(*[reply(200, b"{" + b"x" * padding + spelled.encode())] * 3) as server, watching(key) as sight:
            url = f"messages+http://127.0.0.1:{server.port}/v1"
            with messages_dbapi.connect(url, api_key=key, max_retries=0) as connection:
                with pytest.raises(messages_dbapi.Error) as caught:
                    connection.check() if sql == "check" else connection.execute(sql).fetchall()
                assert "zqjx" not in str(caught.value)
                sight.show_error(caught.value)


# Where nobody answers.


def speak_plainly(link: Link) -> bool:
    """Answer a TLS handshake with something else."""
    link.sock.recv(65536)
    link.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return False


def test_no_way_to_a_service_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, not resolved, not trusted, no TLS at all, no certificates."""
    with serving(tls=True) as secure, serving(*[speak_plainly] * 99) as plain:
        places = (
            ("messages+http", f"127.0.0.1:{closed_port()}"),
            ("messages", f"localhost:{secure.port}"),
            ("messages", f"127.0.0.1:{plain.port}"),
            ("messages", "no-such-host.invalid"),
        )
        for (scheme, place), way in itertools.product(places, WAYS):
            key = KEYS["plus"]
            with monkeypatch.context() as patch, watching(key) as sight:
                given = WAYS[way](place, key)
                with closing(open_given(given, patch, scheme, connect_timeout=2)) as connection:
                    look_at(sight, connection, connection.cursor(), INSERT)


# Proxies.


PROXY_KEY = "zqjx%40proxy%2F-secret"
REFUSALS: dict[str, Action] = {
    "407": echo(407, envelope),
    "407 that says it": echo_raw(lambda said: b"HTTP/1.1 407 no " + said[:3000] + b"\x1b[31m\r\n\r\n"),
    "no HTTP": echo_raw(lambda said: said),
    "hang up": TROUBLES["hang up"],
}


@pytest.mark.parametrize("refusal_", REFUSALS)
def test_a_proxy_that_fails_is_not_shown_with_its_password(refusal_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEYS["plain"]
    with serving(*[REFUSALS[refusal_]] * 9) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:{PROXY_KEY}@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://me:{PROXY_KEY}@127.0.0.1:{proxy.port}")
        for url in ("messages://service.invalid/v1", "messages+http://service.invalid/v1?allow_insecure=1"):
            with (
                watching(key, unquote(PROXY_KEY), f"me:{unquote(PROXY_KEY)}") as sight,
                closing(messages_dbapi.connect(url, api_key=key, max_retries=0)) as connection,
            ):
                look_at(sight, connection, connection.cursor(), SELECT)
                assert all(ord(letter) >= 32 for _, text in sight.shown for letter in text if text.startswith("the "))
        tunnels = [seen for seen in proxy.requests if seen.method == "CONNECT"]
        # Over https it sees where to, and nothing else; it is shown the key where plain http was asked for.
        assert tunnels
        for seen in tunnels:
            assert key not in repr(seen)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:KEY@127.0.0.1:port",
        "http://me:KEY@",
        "http://me:KEY@:9",
        "socks5://me:KEY@127.0.0.1:9",
        "ftp://me:KEY@127.0.0.1:9",
        "me:KEY@127.0.0.1:9",
        "http://me:KEY@no-such-host.invalid:9",
        "https://me:KEY@127.0.0.1:9",
        "http://me:KEY@[::1",
        "http://me:KE Y@127.0.0.1:9",
        "KEY",
    ],
)
def test_a_proxy_that_is_none_is_not_shown_with_its_password(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key, password = KEYS["plain"], "zqjxproxysecret"
    monkeypatch.setenv("https_proxy", proxy.replace("KEY", password))
    with watching(key, password) as sight:
        try:
            with closing(
                messages_dbapi.connect("messages://service.invalid", api_key=key, max_retries=0)
            ) as connection:
                look_at(sight, connection, connection.cursor(), SELECT)
        except messages_dbapi.Error as error:
            sight.show_error(error)


def test_plain_http_to_this_machine_is_shown_to_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as service, serving() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for host in ("127.0.0.1", "localhost"):
            url = f"messages+http://:{KEYS['digits']}@{host}:{service.port}"
            with messages_dbapi.connect(url) as connection, suppress(messages_dbapi.Error):
                connection.execute(SELECT)
        assert (len(service.requests) >= 2, proxy.connections) == (True, 0)


# Mistakes in what is given.


MISTAKES: dict[str, dict[str, Any]] = {
    "value": {"page_size": 0},
    "name": {"timeuot": 3},
    "auth": {"auth": "KEY"},
    "unscoped": {"base_url": "https://me:KEY@host"},
    "headers": {"headers": {"X-A": "KEY\n"}},
    "headers that are none": {"headers": "KEY"},
    "name of a header": {"headers": {"a b": "KEY"}},
    "query": {"query": {"code": "KEY\n"}},
    "query that is none": {"query": ["KEY"]},
    "two keys": {"headers": {"Authorization": "Bearer KEY"}, "api_key": "KEY"},
    "blank": {"api_key": "Bearer KEY"},
    "line": {"api_key": "KEY\n"},
    "bytes": {"api_key": b"KEY"},
    "base": {"base_url": "KEY"},
    "base with a user": {"base_url": "https://KEY@host/v1"},
    "base with a query": {"base_url": "https://host/v1?api_key=KEY"},
    "local": {"local": "."},
    "two places": {"base_url": "https://host"},
}


def fill(value: Any, key: str) -> Any:
    """Put a key into a pattern."""
    if isinstance(value, dict):
        return {fill(name, key): fill(inner, key) for name, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, key) for inner in value]
    if isinstance(value, bytes):
        return value.replace(b"KEY", key.encode())
    return value.replace("KEY", key) if isinstance(value, str) else value


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_bad_option_beside_a_key_does_not_show_it(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for (way, give), shape in itertools.product(WAYS.items(), ("plain", "quotes")):
        key = KEYS[shape]
        given = give("127.0.0.1:9", key)
        arguments = {**given.arguments, **fill(MISTAKES[mistake], key)}
        with monkeypatch.context() as patch, watching(key) as sight:
            try:
                open_given(given._replace(arguments=arguments), patch).close()
            except messages_dbapi.InterfaceError as error:
                sight.show_error(error)
                continue
            assert (mistake, way) == ("two places", "MESSAGES_URL"), "it was no mistake"


MALFORMED = (
    "messages://KEY@host/v1",
    "messages://user:KEY@host/v1",
    "messages://KEY:@host/v1",
    "messages://host/v1?api_key=KEY",
    "messages://host/v1?key=KEY",
    "messages://host/v1?KEY",
    "messages://host/v1?KEY=1",
    "messages://host/v1?auth=KEY",
    "messages://host/v1?headers.Authorization=KEY",
    "messages://host/v1?headers.%41pi%2Dke%79=KEY",
    "messages://host/v1?query.code=KEY",
    "messages://host/v1#KEY",
    "messages://host/v1?page_size=3#KEY",
    "messages://:KEY",
    "messages://:KEY@",
    "messages://@:KEY",
    "messages://:KEY@host:port/v1",
    "messages://:KEY@host:99999/v1",
    "messages://:KEY@@host/v1?x=1",
    "messages://:KEY/v1",
    "messages:///:KEY@host/v1",
    "messages:///me:KEY@host/v1",
    "messages:////:KEY@host/v1",
    "messages:/:KEY@host/v1",
    "messages::KEY@host/v1",
    "messages:KEY@host",
    "messages+http://:KEY@evil.example/v1",
    "messages+http://:KEY@/v1",
    "messages+http:///:KEY@host",
    "https://:KEY@host/v1",
    "https://host/v1?api_key=KEY",
    "mesages://:KEY@host/v1",
    "KEY",
    ":KEY@host",
    "postgresql://me:KEY@host/db",
    "messages://:KEY@ho st/v1",
    "messages://:KEY@host\\v1",
    "messages://:KEY@hóst/v1",
    "messages://:%FFKEY@host/v1",
    "messages://:KEY@host/v1?page_size=0",
    "messages://:KEY@host/v1?page_size=0&headers.X-A=1",
    "messages://:KEY@store.db",
)


@pytest.mark.parametrize("pattern", MALFORMED)
def test_a_url_that_is_wrong_does_not_show_its_key(
    pattern: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Escaped or not: where it was not, it is cut at its first reserved character, and no piece is shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for shape in ("plain", "percent", "at", "colon", "slash", "quotes", "Base64", "digits"):
        for key in (KEYS[shape], quote(KEYS[shape], safe="")):
            url = pattern.replace("KEY", key)
            if "@" in key and pattern in ("messages://:KEY", "messages://:KEY/v1"):
                continue  # a key and a host
            pieces = [KEYS[shape]] if shape in ("plain", "Base64", "digits") else [KEYS[shape], "zqjx", "canary"]
            for give in (_connect, _connect_by_variable, _command, _command_check):
                with monkeypatch.context() as patch, watching(*pieces) as sight:
                    give(url, sight, patch)
    assert not list(tmp_path.rglob("*zqjx*"))


def _connect(url: str, sight: Sight, patch: pytest.MonkeyPatch) -> None:
    with pytest.raises(messages_dbapi.InterfaceError) as caught:
        messages_dbapi.connect(url)
    sight.show_error(caught.value)


def _connect_by_variable(url: str, sight: Sight, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("MESSAGES_URL", url)
    with pytest.raises(messages_dbapi.InterfaceError, match=r"MESSAGES_URL|the connection") as caught:
        messages_dbapi.connect()
    sight.show_error(caught.value)


def _command(url: str, sight: Sight, patch: pytest.MonkeyPatch) -> None:
    status = command(sight, url, "-c", "SELECT 1")
    assert status == 1


def _command_check(url: str, sight: Sight, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("MESSAGES_URL", url)
    assert command(sight, "check", "-o", "max_retries=0") == 1


# The command.


def command(sight: Sight, *argv: str) -> int:
    """Run the command and look at what it prints."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            status = cli.main(argv)
        except SystemExit as ended:
            status = int(ended.code or 0)
    sight.show("standard output", output.getvalue())
    sight.show("standard error", errors.getvalue())
    return status


@pytest.mark.parametrize(
    "argv",
    [
        ("-o", "KEY"),
        ("-o", "api_key=KEY"),
        ("-o", "apikey=KEY"),
        ("-o", "auth=KEY"),
        ("-o", "headers.authorization=KEY"),
        ("-o", "query.code=KEY"),
        ("-o", "base_url=https://me:KEY@host"),
        ("--api-key=KEY",),
        ("--api-key", "KEY"),
        ("--KEY",),
        ("--api-key-file=KEYFILE", "-o", "page_size=0", "-c", "SELECT 1"),
        ("--api-key-file=KEYFILE", "-o", "max_retries=0", "-c", "SELECT id FROM threads"),
        ("check", "--api-key-file=KEYFILE", "-o", "max_retries=0"),
        ("check", "KEY"),
        ("check", "--api-key", "KEY"),
        ("KEY", "-c", "SELECT 1"),
        ("messages://", "KEY"),
        ("demo", "KEY"),
        ("serve", "KEY"),
        ("serve", "--port", "99999", "--api-key", "KEY"),
        ("serve", "--host", "no-such-host.invalid", "--api-key", "KEY"),
        ("serve", "--api-key", "KEY "),
        ("serve", "--api-key"),
        ("serve", "--help"),
        ("--help",),
        ("check", "--help"),
    ],
)
def test_the_command_does_not_print_a_key(
    argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    for shape in ("plain", "quotes", "digits", "Base64"):
        key = KEYS[shape]
        file = tmp_path / shape
        file.write_text(f"{key} {key}" if argv[-1] == "SELECT 1" else key)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{closed_port()}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with watching(key) as sight:
            status = command(sight, *(word.replace("KEYFILE", str(file)).replace("KEY", key) for word in argv))
        assert status == (0 if argv[-1] == "--help" else 1)


@pytest.mark.parametrize("trouble", ["401", "page", "request id", "no JSON", "status line", "307"])
def test_the_command_does_not_print_what_the_service_repeats(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEYS["quotes"]
    with serving(*[TROUBLES[trouble]] * 20) as server:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        url = f"messages+http://127.0.0.1:{server.port}/v1"
        with watching(key) as sight:
            assert command(sight, "check", url) == 1
            assert command(sight, url, "-o", "max_retries=0", "-c", f"{INSERT}; {SELECT}") == 1


def test_serve_does_not_print_its_key(tmp_path: Path) -> None:
    key = KEYS["plain"]
    store = tmp_path / "store.db"
    argv = (sys.executable, "-X", "dev", "-m", "messages_dbapi", "serve", "--store", str(store), "--api-key", key)
    with watching(key) as sight:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        port = urlsplit(base_url).port
        for given in (key, "wrong"):
            with closing(messages_dbapi.connect(base_url=base_url, api_key=given, max_retries=0)) as connection:
                look_at(sight, connection, connection.cursor(), "SELECT id FROM threads")
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(f"GET / HTTP/9.9\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            sight.show("answer", sock.recv(65536).decode())
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(
                f"GET /v1/threads?{key}={key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}x\r\n\r\n".encode()
            )
        process.terminate()
        output, errors = process.communicate(timeout=60)
        sight.show("printed", base_url + output + errors)
        for file in tmp_path.rglob("*"):
            sight.show(str(file), file.read_bytes().decode("latin-1"))


# Ctrl-C, and errors that are nobody's.


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("way", ["password of the URL", "headers cookie theme=da", "query sig"])
def test_ctrl_c_leaves_no_frame_with_a_key(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key, main = KEYS["plain"], threading.main_thread().ident or 0

    def interrupt(link: Link) -> bool:
        read(link)
        # Once it waits for the answer, as good as certainly.
        threading.Event().wait(0.3)
        signal.pthread_kill(main, signal.SIGINT)
        link.sock.recv(1)
        return False

    with serving(interrupt) as server, watching(key) as sight:
        given = WAYS[way](f"127.0.0.1:{server.port}", key)
        with closing(open_given(given, monkeypatch)) as connection:
            with pytest.raises(KeyboardInterrupt) as caught:
                connection.execute(SELECT).fetchall()
            assert any(map(is_ours, frames(caught.value)))
            sight.show_error(caught.value)


def test_a_token_that_is_none_is_in_no_frame() -> None:
    key = KEYS["plain"]
    tokens: list[Any] = [f"{key}\n", f"{key} {key}", f"{key}€", key.encode(), [key]]
    for token in tokens:
        with watching(key) as sight:
            connection = messages_dbapi.connect("messages+http://127.0.0.1:9", api_key=partial(next, iter([token])))
            with closing(connection), pytest.raises(messages_dbapi.InterfaceError) as caught:
                connection.execute(SELECT)
            sight.show_error(caught.value)
            del caught


# SQLAlchemy.


def test_no_engine_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    for shape in ("percent", "quotes"):
        key = KEYS[shape]
        with serving() as server:
            place = {"host": "127.0.0.1", "port": server.port, "database": "v1"}
            plain = sqlalchemy.engine.URL.create("messages+http", **place)
            with_key = sqlalchemy.engine.URL.create("messages+http", password=key, **place)
            text = f"messages+http://:{quote(key, safe='')}@127.0.0.1:{server.port}/v1"
            ways: list[tuple[Any, dict[str, Any]]] = [
                (with_key, {}),
                (text, {}),
                (sqlalchemy.engine.make_url(text), {}),
                (plain, {"api_key": key}),
                (plain, {"api_key": partial(str, key)}),
                (plain, {"headers": {"Authorization": f"Bearer {key}"}}),
                (plain, {"query": {"code": key}}),
            ]
            for (url, arguments), trouble in itertools.product(
                ways, ("401", "no JSON", "page of 200", "works", "option")
            ):
                action = TROUBLES.get(trouble, reply(200, {"data": [], "has_more": False}))
                server._actions.clear()
                server.tell(*[action] * 9)
                if trouble == "option":
                    arguments = {**arguments, "page_size": 0}
                _watch_engine(sqlalchemy, url, arguments, key)


def _watch_engine(sqlalchemy: Any, url: Any, arguments: dict[str, Any], key: str) -> None:
    with watching(key) as sight:
        engine = sqlalchemy.create_engine(
            url, future=True, echo="debug", echo_pool="debug", connect_args={"max_retries": 0, **arguments}
        )
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(SELECT)).fetchall()
                sight.show("connection", connection.connection.dbapi_connection)
        except sqlalchemy.exc.DBAPIError as error:
            for one in chain(error):
                sight.shown.append(("text", str(one)))
                if isinstance(one, messages_dbapi.Error):
                    sight.show_error(one, frames_of_others=False)
            sight.show_error(error, frames_of_others=False)
        for thing in (engine, repr(engine.url), engine.pool, engine.dialect):
            sight.show(type(thing).__name__, thing)
        engine.dispose()


def test_no_migration_shows_a_key(tmp_path: Path) -> None:
    """Alembic logs what it finds."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    migration = pytest.importorskip("alembic.runtime.migration")
    key = KEYS["plain"]
    with watching(key) as sight, serving() as server:
        url = f"messages+http://:{key}@127.0.0.1:{server.port}/v1?local={tmp_path / 'local.db'}"
        engine = sqlalchemy.create_engine(url, future=True)
        with engine.connect() as connection:
            context = migration.MigrationContext.configure(connection)
            sight.show("context", context)
            sight.show("heads", context.get_current_heads())
        engine.dispose()


# What a service says is bounded, and no terminal obeys it.


def test_what_a_service_says_is_cut() -> None:
    huge = "x\x1b[31m\x9b5n\u202e\u200b" * 50_000
    body = json.dumps({"error": {"message": huge, "code": huge, "param": huge, "type": huge}}).encode()
    for status in (400, 307):
        fault = read_answer(status, {"x-request-id": huge, "location": f"http://a/{huge}"}, body, 0.0)
        for said in (fault.code, fault.param, fault.request_id):
            assert said is not None
            assert len(said) == 500
            assert said.isprintable()
        assert len(str(fault.error(fault.said))) < 1300
        assert fault.said.isprintable()


def test_what_a_service_says_is_cut_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "r" * 60_000
    actions = [
        refusal(400, "m" * 10_000_000, code="c" * 10_000_000, x_request_id=long),
        reply(404, b"", {"x-request-id": long}),
        reply(200, b"<" * 1_000_000, {"x-request-id": long}),
        reply(302, b"", {"location": f"http://{long}/\x1b\x9b", "x-request-id": long}),
    ]
    for action in actions:
        with (
            serving(*[action] * 2) as server,
            messages_dbapi.connect(base_url=f"http://127.0.0.1:{server.port}") as link,
        ):
            with pytest.raises(messages_dbapi.Error) as caught:
                link.execute(SELECT).fetchall()
            error = caught.value
            assert len(str(error)) < 2500
            assert all(len(said or "") <= 500 for said in (error.code, error.param, error.request_id))
            assert str(error).isprintable()


# Over TLS, or to this machine.

# Hosts that are this machine by name, those that only lead to it or look so, and what is no host.
LOOPBACK = (
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
)
NOT_LOOPBACK = (
    *(
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.",
    ),
    *("0.0.0.0", "0", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[fe80::1]", "128.0.0.1"),
    *("localhost.", "localhost.localdomain", "ip6-localhost", "localhost4", "127.0.0.1.evil.com", "localhost.evil.com"),
    *("127.0.0.1.nip.io", "xn--lcalhost-4cf", "localhost-", "evil-localhost", "1.127.0.0", "10.0.0.1", "192.168.0.1"),
)
NO_HOST = (
    *(
        "127.0.0.1@evil.com",
        "evil.com@127.0.0.1",
        "localhost:80@evil.com",
        "evil.com#@localhost",
        "evil.com\\@localhost",
    ),
    *(
        "l\u043ecalhost",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "localhost\u00ad",
        "local\u200bhost",
        "loc%61lhost",
        "\u017flocalhost",
    ),
    *(
        "local\thost",
        "local\nhost",
        "localhost\r",
        "localhost evil.com",
        "localhost\x00",
        "localhost,evil.com",
        "[::1%25lo]",
    ),
    *("[::1]evil.com", "[127.0.0.1]", "::1", "[::1", "localhost:80:80", "localhost:", "localhost:0", "localhost:65536"),
    *("localhost;evil.com", "localhost|", "*", "", "[]", "localhost:+80", "localhost:\uff18\uff10", "localhost:0x50"),
)


def contacted(base_url: str) -> str:
    """Say whom the HTTP libraries would speak to."""
    return parse_url(requests.Request("GET", f"{base_url}/threads").prepare().url or "").host or ""


@pytest.mark.parametrize("host", LOOPBACK)
def test_plain_http_is_for_this_machine(host: str) -> None:
    environ = {"OPENAI_API_KEY": KEYS["plain"], "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    for place in (host, f"{host}:8080", f"{host}:80"):
        found = resolve(f"messages+http://{place}/v1", {}, environ)
        assert found.base_url is not None
        assert contacted(found.base_url) in ("localhost", "[::1]") or contacted(found.base_url).startswith("127.")
        assert (found.api_key, found.organization, found.project) == (KEYS["plain"], "org-1", "proj-1")
        assert resolve(None, {"base_url": f"http://{place}"}, environ).api_key == KEYS["plain"]


@pytest.mark.parametrize("host", NOT_LOOPBACK)
def test_plain_http_to_another_machine_is_refused(host: str) -> None:
    environ = {"OPENAI_API_KEY": KEYS["plain"], "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    for place in (host, f"{host}:8080", f":{KEYS['plain']}@{host}"):
        for arguments in ({}, {"api_key": "own"}, {"allow_insecure": False}):
            with pytest.raises(messages_dbapi.InterfaceError, match=r"another machine|no host"):
                resolve(f"messages+http://{place}/v1", arguments, environ)
    with pytest.raises(messages_dbapi.InterfaceError, match=r"another machine|no host"):
        resolve(None, {"base_url": f"http://{host}"}, environ)
    for url in (f"messages://{host}/v1", f"messages+http://{host}/v1?allow_insecure=1"):
        found = resolve(url, {}, environ)
        assert (found.api_key, found.organization, found.project) == (None, None, None)


@pytest.mark.parametrize("host", NO_HOST)
def test_what_is_no_host_is_refused(host: str) -> None:
    environ = {"OPENAI_API_KEY": KEYS["plain"], "OPENAI_BASE_URL": "https://gateway.example/v1"}
    for scheme in ("messages", "messages+http"):
        for tail in ("/v1", "/v1?allow_insecure=1"):
            try:
                found = resolve(f"{scheme}://{host}{tail}", {}, environ)
            except messages_dbapi.InterfaceError:
                continue
            # With no host at all, and only then, it is a file.
            assert (host, found.base_url) == ("", None)
    with pytest.raises(messages_dbapi.InterfaceError):
        resolve(None, {"base_url": f"http://{host}/v1"}, environ)


GATEWAY = "https://gateway.example:8443/v1"
NOT_THE_GATEWAY = (
    *("messages://gateway.example/v1", "messages://gateway.example:443/v1", "messages://gateway.example:84430/v1"),
    *("messages+http://gateway.example:8443/v1?allow_insecure=1", "messages://gateway.example.:8443/v1"),
    *(
        "messages://xgateway.example:8443/v1",
        "messages://gateway.example.evil.com:8443/v1",
        "messages://gateway:8443/v1",
    ),
    *("messages://a.gateway.example:8443/v1", "messages://gateway-example:8443/v1", "messages://example:8443/v1"),
    *(
        "messages://api.openai.com:8443/v1",
        "messages+http://api.openai.com/v1?allow_insecure=1",
        "messages://openai.com",
    ),
    *(
        "messages://api.openai.com.evil.com",
        "messages://xapi.openai.com",
        "messages://api-openai.com",
        "messages://api.openai.com.",
    ),
)


@pytest.mark.parametrize("url", NOT_THE_GATEWAY)
def test_the_environment_goes_to_its_own_hosts_only(url: str) -> None:
    environ = {
        "OPENAI_API_KEY": KEYS["plain"],
        "OPENAI_BASE_URL": GATEWAY,
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj-1",
    }
    try:
        found = resolve(url, {}, environ)
    except messages_dbapi.InterfaceError:
        found = None
    if found is not None:
        assert (found.api_key, found.organization, found.project) == (None, None, None)
    for own in ("messages://GATEWAY.example:8443/other?thread_id=t", "messages://api.openai.com/v1"):
        found = resolve(own, {}, environ)
        assert (found.api_key, found.organization, found.project) == (KEYS["plain"], "org-1", "proj-1")


def test_no_key_of_the_environment_is_sent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the wire: a name that only leads to this machine is another's."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "zqjx-environment")
    with serving() as server:
        for host, sent in (("127.1", False), ("127.0.0.1", True)):
            server.requests.clear()
            url = f"messages+http://{host}:{server.port}?allow_insecure=1"
            with messages_dbapi.connect(url) as connection, suppress(messages_dbapi.Error):
                connection.execute(SELECT)
            assert ["zqjx-environment" in repr(seen) for seen in server.requests[:1]] == [sent]


NAMES = """
    authorization Proxy-Authorization api-key x-api-key apikey api_key ApiKey x-api-key-v2 cookie Set-Cookie2 token
    access_token refreshToken id-token token_value X-Token-2 code auth_code authCode sig signature X-Amz-Signature
    X-Amz-Credential X-Amz-Security-Token secret client_secret clientSecret password passwd pwd pass PASSPHRASE session
    sessionid JSESSIONID PHPSESSID sid sas jwt x-goog-iap-jwt-assertion client_assertion bearer otp ticket pin auth
    x-auth X-Functions-Key Ocp-Apim-Subscription-Key subscription-key key keys credentials Host X-Forwarded-Host
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_a_credential_by_any_name_is_refused_in_a_url(name: str) -> None:
    spelled = {name, name.upper(), name.lower(), name.title(), name.replace("-", "_"), name.replace("_", "-")}
    escaped = {"".join(f"%{ord(letter):02x}" for letter in name), name.replace("-", "%2D").replace("_", "%5F")}
    for form, option in itertools.product(spelled | escaped, ("headers", "query")):
        for url in (f"messages://host?{option}.{form}=zqjxcanary", f"messages://host?{option}%2E{form}=zqjxcanary"):
            with pytest.raises(messages_dbapi.InterfaceError, match="refused in a URL") as caught:
                resolve(url, {}, {})
            assert "zqjxcanary" not in str(caught.value)
    assert refused_in_url(name)


# Redirects, .netrc.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", ["password of the URL", "headers API-KEY KEY", "query code", "headers cookie theme=da"])
def test_a_redirect_carries_no_key_anywhere(status: int, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to another host, port, scheme or path: nobody is asked at all."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving() as other, serving(tls=True) as server:
        targets = (
            f"http://127.0.0.1:{other.port}/v1/threads",
            f"http://localhost:{server.port}/v1/threads",
            f"//127.0.0.1:{other.port}/v1/threads",
            f"https://localhost:{server.port}/v2/threads",
            "/v2/threads",
            f"http://localhost:{server.port}@127.0.0.1:{other.port}/",
        )
        given = WAYS[way](f"127.0.0.1:{server.port}", KEYS["plain"])
        with closing(open_given(given, monkeypatch, "messages")) as connection:
            for number, (target, sql) in enumerate(itertools.product(targets, (SELECT, INSERT)), 1):
                server.tell(reply(status, headers={"Location": target}))
                with pytest.raises(messages_dbapi.OperationalError, match="Redirects are not followed"):
                    connection.execute(sql)
                assert (len(server.requests), other.connections) == (number, 0)


def test_no_netrc_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither at home nor where NETRC says, neither for the service nor for a proxy."""
    hosts = ("127.0.0.1", "localhost", "service.invalid")
    lines = [f"machine {host} login somebody password zqjxnetrc" for host in hosts]
    for name in (".netrc", "_netrc", "named"):
        (tmp_path / name).write_text("\n".join([*lines, "default login somebody password zqjxnetrc"]))
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with serving() as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.port}")
        for netrc in (None, str(tmp_path / "named")):
            if netrc is not None:
                monkeypatch.setenv("NETRC", netrc)
            own = [f"messages+http://{host}:{server.port}" for host in hosts[:2]]
            for url in (*own, "messages://service.invalid"):
                with messages_dbapi.connect(url, max_retries=0, timeout=0.5) as link, suppress(messages_dbapi.Error):
                    link.execute(SELECT)
        assert len(server.requests) >= 6
        assert not any("authorization" in name for seen in server.requests for name in seen.headers)
