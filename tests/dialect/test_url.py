"""URLs of create_engine: the same options as connect() makes of them, and no key where people look."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, exc, text
from sqlalchemy.engine import URL, Engine, make_url

import messages_dbapi
from messages_dbapi.options import Options

from ..service import Service
from .conftest import Engines


def options_of(engine: Engine) -> Options:
    """Give the options that a connection of the engine has come to."""
    connection = engine.raw_connection()
    try:
        options: Options = connection.dbapi_connection.options  # type: ignore[union-attr]  # the driver's own
        return options
    finally:
        connection.close()


URLS = (
    "messages://:KEY@example.com/v1",
    "messages://:KEY@example.com:8443/a/b%20c/v1?timeout=7.5&page_size=10&concurrency=3",
    "messages://example.com",
    "messages://:KEY@[2001:db8::1]:99/v1",
    "messages+http://127.0.0.1:8080/v1?thread_id=a&thread_id=b%20c&missing_thread=skip",
    "messages+http://:KEY@localhost/v1?query.api-version=v1&headers.X-Team=a%2Bb",
    "messages+http://:KEY@10.0.0.7/v1?allow_insecure=1",
    "messages://:KEY@example.com/v1?unscoped=scan&read_only=1&auth=api-key&max_requests=9&deadline=3",
)
KEYS = ("sk-plain", "a/b", "a:b", "a@b", "a%41b", "a%b", "a?b", "a#b", "a+b", "&=", "%%", "é")


@pytest.mark.parametrize("url", URLS)
def test_options_are_those_of_connect(engines: Engines, url: str) -> None:
    """Nothing is lost on the way through SQLAlchemy's own URL."""
    with messages_dbapi.connect(url, local="x.db") as connection:
        assert options_of(engines(url, connect_args={"local": "x.db"})) == connection.options


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_arrives_as_it_was(engines: Engines, key: str) -> None:
    """Escaped in a URL as SQLAlchemy does, or given to URL.create."""
    url = URL.create("messages", password=key, host="example.com", database="v1")
    assert options_of(engines(url)).api_key == key
    escaped = "".join(f"%{byte:02X}" for byte in key.encode())
    assert options_of(engines(f"messages://:{escaped}@example.com/v1")).api_key == key


def test_an_argument_wins(engines: Engines) -> None:
    """As with connect()."""
    arguments = {"api_key": "other", "thread_id": ["t"]}
    options = options_of(engines("messages://:KEY@example.com/v1?thread_id=u", connect_args=arguments))
    assert (options.api_key, options.thread_id) == ("other", ("t",))


@pytest.mark.parametrize("form", ["messages:///store.db", "messages:////{folder}/store.db", "messages:///./store.db"])
def test_a_file_is_a_store(engines: Engines, tmp_path: Path, form: str) -> None:
    """Relative or not, it is there for the next engine too."""
    url = form.format(folder=str(tmp_path).lstrip("/"))
    with engines(url).begin() as connection:
        connection.execute(text('INSERT INTO threads (metadata) VALUES (\'{"a": "b"}\')'))
    assert (tmp_path / "store.db").exists()
    with engines(url).connect() as connection:
        assert connection.execute(text("SELECT metadata FROM threads")).scalar() == '{"a":"b"}'


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("messages://example.com/v1?tiemout=3", "did you mean 'timeout'?"),
        ("messages://example.com/v1?timeout=soon", "a number of seconds"),
        ("messages://user:KEY@example.com/v1", "user name"),
        ("messages://:KEY@", "no host"),
        ("messages+http://10.0.0.7/v1", "allow_insecure=1"),
        ("messages+http://", "needs a host"),
        ("messages://store.db", "messages:///store.db"),
        ("messages://:KEY@example.com/v1?headers.Authorization=x", "refused in a URL"),
    ],
)
def test_a_wrong_url_says_what_to_write(engines: Engines, url: str, said: str) -> None:
    """At the first connection at the latest, as the driver's InterfaceError and without the key."""
    with pytest.raises(exc.InterfaceError) as caught:
        engines(url).connect()
    assert said in str(caught.value)
    assert "KEY" not in str(caught.value).replace(":KEY@", "")
    assert isinstance(caught.value.orig, messages_dbapi.InterfaceError)


def test_an_unknown_argument_is_named(engines: Engines) -> None:
    """In connect_args too."""
    with pytest.raises(exc.InterfaceError, match="there is no option 'tread_id'"):
        engines("messages://", connect_args={"tread_id": "x"}).connect()


def test_the_key_is_masked(engines: Engines, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """In repr, in logs at any level, with echo, and in errors."""
    caplog.set_level(logging.DEBUG)
    url = make_url(service.base_url.replace("http://", "messages+http://:sk-secret@", 1))
    engine = engines(url, echo="debug", echo_pool="debug")
    with engine.connect() as connection:
        connection.execute(text("SELECT id FROM threads")).fetchall()
        with pytest.raises(exc.ProgrammingError) as caught:
            connection.execute(text("SELECT id FROM messages WHERE thread_id = 'nobody'"))
    shown = f"{engine!r} {url!r} {engine.pool!r} {caught.value} {caught.value.orig!r} {caplog.text}"
    assert caplog.records
    assert "sk-secret" not in shown


def test_the_environment_says_nothing_to_a_url(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """create_engine has a URL always; the environment's key goes to the hosts of the contract only."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    assert options_of(engines("messages://example.com/v1")).api_key is None
    assert options_of(engines("messages+http://127.0.0.1:1/v1")).api_key == "sk-environment"


@pytest.mark.parametrize("name", ["messages", "messages+https", "messages+http"])
def test_entry_points(name: str) -> None:
    """The names of the contract, and the one that SQLAlchemy's test runner builds."""
    host = "127.0.0.1:1" if name.endswith("http") else "example.com"
    engine = create_engine(f"{name}://{host}/v1")
    assert (engine.dialect.name, engine.dialect.driver) == ("messages", name.partition("+")[2] or "https")
    dialect: Any = type(engine.dialect)
    assert dialect.import_dbapi() is messages_dbapi
    if hasattr(dialect, "dbapi_version"):  # SQLAlchemy 2.1
        assert str(engine.dialect.dbapi_version) == messages_dbapi.__version__
    assert engine.dialect.supports_statement_cache


def test_arguments_name_no_driver_internals(engines: Engines) -> None:
    """What an event may see and change: the URL without a key, and the key."""
    seen: list[Any] = []
    engine = engines("messages://:KEY@example.com/v1")
    arguments, named = engine.dialect.create_connect_args(engine.url)
    seen.extend([arguments, named])
    assert seen == [["messages://example.com/v1"], {"api_key": "KEY"}]
