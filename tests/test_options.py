"""Options: what each URL, argument and variable means, what is refused, and where a key may go."""

from __future__ import annotations

import dataclasses
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from messages_dbapi.address import parse_url as parse_address
from messages_dbapi.errors import InterfaceError
from messages_dbapi.options import OPTION_NAMES, OPTIONS, Options, describe, resolve
from messages_dbapi.scope import FileSource, TableSource

ENVIRONMENT_KEY = "sk-from-the-environment"


def options(url: str | None = None, environ: Mapping[str, str] | None = None, **arguments: object) -> Options:
    return resolve(url, arguments, environ or {})


def refusal(url: str | None = None, environ: Mapping[str, str] | None = None, **arguments: object) -> str:
    """Give all that a person could see of the InterfaceError: the chain of causes, as a log has it."""
    with pytest.raises(InterfaceError) as caught:
        resolve(url, arguments, environ or {})
    chain: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        chain += [*traceback.format_exception_only(error), repr(error), repr(getattr(error, "object", ""))]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "".join(chain)


# Where a connection goes


@pytest.mark.parametrize(
    "url", ["messages://", "messages:///", "messages:///:memory:", " MESSAGES:// ", "messages://?"]
)
def test_memory(url: str) -> None:
    found = options(url)
    assert found.embedded
    assert (found.base_url, found.store, found.unscoped) == (None, None, "scan")
    assert describe(found) == "embedded store in memory"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("messages:///store.db", "store.db"),
        ("messages:///folder/store.db?page_size=3", "folder/store.db"),
        ("messages:////abs/store.db", "/abs/store.db"),
        ("messages:///~/x.db", "~/x.db"),
        ("messages:///C:/x/store.db", "C:/x/store.db"),
        ("messages:///a%20b%23c%3Fd%25.db", "a b#c?d%.db"),
        ("messages:///a@b.db", "a@b.db"),
        ("messages:///a+b.db", "a+b.db"),
        ("messages:///%C3%A9.db", "é.db"),
    ],
)
def test_store(url: str, path: str) -> None:
    found = options(url)
    assert found.embedded
    assert found.store == str(Path(path).expanduser().resolve())
    assert describe(found) == f"embedded store {found.store}"


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("messages://host", "https://host"),
        ("messages://host/", "https://host"),
        ("messages://Host:443/v1/", "https://host/v1"),
        ("messages://:secretkey@host:8443/base/path?page_size=3", "https://host:8443/base/path"),
        ("messages://host:80", "https://host:80"),
        ("messages://@host/v1", "https://host/v1"),
        ("messages://docker_service.local./v1", "https://docker_service.local./v1"),
        ("messages://host/a%2Fb/é ü", "https://host/a%2Fb/%C3%A9%20%C3%BC"),
        ("messages://[2001:DB8::0:1]:8443/v1", "https://[2001:db8::1]:8443/v1"),
        ("messages+http://localhost/v1", "http://localhost/v1"),
        ("messages+http://LOCALHOST:80/v1", "http://localhost/v1"),
        ("messages+http://localhost:443", "http://localhost:443"),
        ("messages+http://127.255.0.3:8080/v1", "http://127.255.0.3:8080/v1"),
        ("messages+http://:secretkey@[0:0::1]:8080", "http://[::1]:8080"),
        ("messages+http://10.0.0.1?allow_insecure=1", "http://10.0.0.1"),
        ("messages://res.services.ai.azure.com/api/projects/p", "https://res.services.ai.azure.com/api/projects/p"),
    ],
)
def test_remote(url: str, base_url: str) -> None:
    found = options(url)
    assert not found.embedded
    assert (found.base_url, found.store, found.unscoped) == (base_url, None, "error")
    assert describe(found) == base_url
    assert found.api_key == ("secretkey" if "secretkey" in url else None)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "messages:///store.db"),
        ("store.db", "messages:///store.db"),
        ("messages:store.db", "messages:///store.db"),
        ("sqlite:///store.db", "messages:///store.db"),
        ("https://host/v1", "base_url="),
        ("messages+https://host/v1", "messages+http://"),
        ("messages://store.db", "messages:///store.db"),
        ("messages://./store.db", "three slashes"),
        ("messages://~/store.db", "three slashes"),
        ("messages://C:/store.db", "three slashes"),
        ("messages+http://", "needs a host"),
        ("messages+http:///store.db", "needs a host"),
        ("messages://:key", "host[:port]"),
        ("messages://:keykey@", "no host"),
        ("messages://:keykey@/store.db", "no host"),
        ("messages://user:key@host", "after a colon"),
        ("messages://user@host", "after a colon"),
        ("messages://:@host", "is empty"),
        ("messages://:a%20b@host", "blank"),
        ("messages://:%FF@host", "UTF-8"),
        ("messages://host:", "host[:port]"),
        ("messages://host:0", "host[:port]"),
        ("messages://host:65536", "host[:port]"),
        ("messages://host:8x", "host[:port]"),
        ("messages://ho st", "host[:port]"),
        ("messages://ho%73t", "host[:port]"),
        ("messages://hôst", "xn--"),
        ("messages://a..b", "host[:port]"),
        ("messages://" + 64 * "a", "host[:port]"),
        ("messages://host\\v1", "host[:port]"),
        ("messages://::1", "brackets"),
        ("messages://[::1", "brackets"),
        ("messages://[::1]x", "brackets"),
        ("messages://[localhost]", "brackets"),
        ("messages://[fe80::1%25eth0]", "brackets"),
        ("messages://host/\ud800", "encoded"),
        ("messages://host/v1#part", "%23"),
        ("messages://host#part", "%23"),
        ("messages:///a#b.db", "%23"),
        ("messages://host?page_size=3#part", "%23"),
        ("messages://host/a@b", "%40"),
        ("messages://host?query.user=a@b", "%40"),
        ("messages:///a%00b.db", "path of a file"),
        ("messages:///%FF.db", "UTF-8"),
        ("messages:///.", "folder"),
        ("messages+http://10.0.0.1/v1", "allow_insecure=1"),
        ("messages+http://:keykey@localhost.evil.com", "allow_insecure=1"),
        ("messages+http://127.0.0.1.evil.com", "allow_insecure=1"),
        ("messages+http://localhost.", "allow_insecure=1"),
        ("messages+http://2130706433", "allow_insecure=1"),
        ("messages+http://0x7f.1", "allow_insecure=1"),
        ("messages+http://0.0.0.0", "allow_insecure=1"),
        ("messages+http://[::ffff:127.0.0.1]", "allow_insecure=1"),
        ("messages+http://host?allow_insecure=0", "allow_insecure=1"),
    ],
)
def test_url_without_meaning(url: str, says: str) -> None:
    assert says in refusal(url)


def test_url_is_text() -> None:
    assert "not int" in refusal(3)  # type: ignore[arg-type]  # a program without types can


# Without a URL


def test_variables_stand_in_for_the_url() -> None:
    environ = {"MESSAGES_URL": "messages://one/v1?page_size=7", "OPENAI_BASE_URL": "https://two/v1/"}
    assert options(environ=environ).base_url == "https://one/v1"
    assert options(environ=environ).page_size == 7
    assert options(environ=environ | {"MESSAGES_URL": " \n"}).base_url == "https://two/v1"
    assert options(environ=environ, base_url="https://three/v1").base_url == "https://three/v1"
    assert options("messages://", environ=environ).embedded


def test_no_url_shows_three() -> None:
    text = refusal(environ={"MESSAGES_URL": "", "OPENAI_BASE_URL": ""})
    assert all(url in text for url in ("messages:///store.db", "messages://:KEY@host/v1", "messages+http://127.0.0.1"))


@pytest.mark.parametrize(("name", "value"), [("MESSAGES_URL", "https://host"), ("OPENAI_BASE_URL", "messages://host")])
def test_bad_variable_is_named(name: str, value: str) -> None:
    assert name in refusal(environ={name: value})


def test_base_url() -> None:
    assert options(base_url="https://Host:443/v1/").base_url == "https://host/v1"
    assert options(base_url="http://127.0.0.1:9/v1").base_url == "http://127.0.0.1:9/v1"
    found = options("messages://?page_size=7", base_url="https://host/v1")
    assert (found.base_url, found.page_size, found.unscoped) == ("https://host/v1", 7, "error")


@pytest.mark.parametrize(
    ("base_url", "says"),
    [
        ("host/v1", "https://"),
        ("messages://host", "first argument"),
        ("https://", "host[:port]"),
        ("https:///v1", "host[:port]"),
        ("http://host/v1", "allow_insecure=1"),
        ("https://keykey@host/v1", "api_key="),
        ("https://u:keykey@host/v1", "api_key="),
        ("https://host/v1?api-version=v1", "query="),
        ("https://host/v1#x", "%23"),
        (b"https://host", "option base_url"),
    ],
)
def test_bad_base_url(base_url: object, says: str) -> None:
    text = refusal(base_url=base_url)
    assert says in text
    assert "keykey" not in text


@pytest.mark.parametrize("url", ["messages://host", "messages:///store.db"])
def test_two_places(url: str) -> None:
    assert "leave one out" in refusal(url, base_url="https://other")


# Values of options

TEXTS: list[tuple[str, Any, Any]] = [
    ("concurrency", "16", 16),
    ("rate", "2.5", 2.5),
    ("remember", "0", False),
    ("page_size", "1", 1),
    ("max_requests", "7", 7),
    ("max_requests", "none", None),
    ("max_retries", "0", 0),
    ("timeout", "0.5", 0.5),
    ("connect_timeout", "1e1", 10.0),
    ("deadline", "30", 30.0),
    ("deadline", "None", None),
    ("unscoped", "scan", "scan"),
    ("missing_thread", "skip", "skip"),
    ("auth", "api-key", "api-key"),
    *[(name, text, True) for name in ("read_only", "resend", "allow_insecure") for text in ("1", "true", "YES", "on")],
    *[
        (name, text, False)
        for name in ("read_only", "resend", "allow_insecure")
        for text in ("0", "False", "no", "off")
    ],
    ("thread_id", "thread_a/b", ("thread_a/b",)),
    ("local", ":memory:", None),
    ("local", "~/a b.db", str(Path("~/a b.db").expanduser().resolve())),
    ("threads", "ids.txt", FileSource(str(Path("ids.txt").resolve()), "text")),
]
VALUES: list[tuple[str, Any, Any]] = [
    ("concurrency", 16, 16),
    ("rate", 2, 2.0),
    ("remember", False, False),
    ("timeout", 3, 3.0),
    ("read_only", True, True),
    ("read_only", 0, False),
    ("thread_id", (name for name in ("b", "a", "b")), ("b", "a")),
    ("thread_id", {"x": 1}.keys(), ("x",)),
    ("local", Path("x.db"), str(Path("x.db").resolve())),
    ("threads", Path("ids.csv"), FileSource(str(Path("ids.csv").resolve()), "csv")),
    ("headers", {"X-A": "é", "x-b": ""}, (("X-A", "é"), ("x-b", ""))),
    ("query", {"api-version": "v1", "B": "€"}, (("api-version", "v1"), ("B", "€"))),
    ("attach", {"crm": Path("x.db")}, (("crm", str(Path("x.db").resolve())),)),
]


@pytest.mark.parametrize(("name", "text", "value"), TEXTS)
def test_text(name: str, text: Any, value: object) -> None:
    assert getattr(options(f"messages://?{name}={text}"), name) == value
    assert getattr(options("messages://", **{name: text}), name) == value


@pytest.mark.parametrize(("name", "argument", "value"), VALUES)
def test_argument(name: str, argument: Any, value: object) -> None:
    found = getattr(options("messages://", **{name: argument}), name)
    assert (found, type(found)) == (value, type(value))


NO_SECONDS: list[Any] = [0, -1, "0", "nan", "inf", "x", "", 1e10, float("nan"), float("inf"), 10**400, True, b"1", 1j]
BAD: dict[str, list[Any]] = {
    "rate": ["0", "-1", "x", "nan", "inf", "1e9", True],
    "remember": ["2", "x", 2],
    "concurrency": ["0", "-1", "257", "x", "", " 8", "8.0", "1_0", "٣", 8.0, True, b"8", "9" * 5000],
    "page_size": [0, 101, "101"],
    "max_requests": [0, "0", "None ", []],
    "max_retries": [-1, 101],
    "timeout": NO_SECONDS,
    "connect_timeout": NO_SECONDS,
    "deadline": NO_SECONDS,
    "read_only": ["", "2", 2, "maybe", 0.0, []],
    "unscoped": ["", "Scan", "skip", 1],
    "missing_thread": ["scan"],
    "auth": ["basic"],
    "thread_id": ["", " ", ".", "..", [], ["a", ""], [".."], [None], 3, b"a", {"a": 1}, "\ud800"],
    "local": ["", " ", ".", 3, "a\0b", b"x.db"],
    "threads": ["", "#column", "ids.csv#", "ids.txt#column", "a\0b", 3],
    "headers": [
        *["X: 1", [("X", "1")], {1: "x"}, {"": "x"}, {"X A": "1"}, {"X": 1}, {"X": "a\r\nB: c"}, {"X\n": "a"}],
        *[{"X": "€"}, {"X": " a"}, {"X": "\x7f"}, {"X": "1", "x": "2"}, {"X": b"a"}],
        *[{"Content-Length": "1"}, {"transfer-encoding": "chunked"}, {"Connection": "close"}],
    ],
    "query": [{"": "x"}, {"a": 1}, {"a": "\ud800"}, {"a\n": "x"}, {"limit": "5"}, {"after": "m"}, {"run_id": "r"}],
    "attach": [
        *[{name: "x.db"} for name in ("", "main", "TEMP", "openai", "assistants", "openai.assistants")],
        *[{name: "x.db"} for name in ("a-b", "1a", "é", 'a"', "a b")],
        *[{"a": ""}, {"a": "."}, {"a": 1}, {"a": "x.db", "A": "y.db"}, "a=x.db"],
    ],
    "api_key": ["", " ", "a b", "a\r\nb", "a\n", "€key", "a\xa0b", 3, b"key"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_value_is_named(name: str, value: Any) -> None:
    text = refusal("messages://", **{name: value})
    assert name in text
    assert "expected" in text or name == "api_key"


@pytest.mark.parametrize("text", ["page_size=101", "timeout=0", "thread_id=..", "attach.main=x", "threads=ids.txt%23c"])
def test_bad_option_shows_where(text: str) -> None:
    assert "https://host:8443/v1" in refusal(f"messages://:keykey@host:8443/v1?{text}")
    assert str(Path("x.db").resolve()) in refusal(f"messages:///x.db?{text}")


def test_unknown_option() -> None:
    text = refusal("messages://host?pagesize=3")
    assert "'pagesize'" in text
    assert "did you mean 'page_size'" in text
    listed = {name.removesuffix(".NAME") for name in text.split("Valid options: ")[1].split(" (")[0].split(", ")}
    assert listed == set(OPTION_NAMES) - {"base_url", "api_key", "progress"}
    assert "did you mean 'timeout'" in refusal("messages://", timeuot=3)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("page_size=3&page_size=3", "twice"),
        ("query.a=1&query.a=2", "twice"),
        ("headers.X-A=1&headers.x-a=2", "twice"),
        ("attach.A=x.db&attach.a=x.db", "twice"),
        ("query=a", "query.NAME=VALUE"),
        ("query.=a", "query.NAME=VALUE"),
        ("page_size.x=3", "page_size.x"),
        ("page_size", "whole number"),
        ("page_size=", "whole number"),
        ("=3", "no option ''"),
        ("page_size=%FF", "UTF-8"),
        ("api_key=keykey", ":KEY@host"),
        ("base_url=https://keykey", ":KEY@host"),
    ],
)
def test_bad_query(query: str, says: str) -> None:
    text = refusal(f"messages://host?{query}")
    assert says in text
    assert "keykey" not in text


def test_query_of_a_url() -> None:
    found = options(
        "messages://h?thread_id=a&thread_id=b&thread_id=a&query.api-version=v1&query.e=&headers.X-A=a+b%2B&&"
    )
    assert found.thread_id == ("a", "b")
    assert found.query == (("api-version", "v1"), ("e", ""))
    assert found.headers == (("X-A", "a b+"),)


def test_argument_wins() -> None:
    url = "messages://:one@h?page_size=3&thread_id=a&headers.X-A=1&headers.X-B=2&query.p=1&query.P=2&attach.C=c.db"
    found = options(
        url,
        page_size=4,
        timeout=None,
        thread_id="b",
        headers={"x-b": "3", "X-C": "4"},
        query={"p": "5"},
        attach={"c": "d.db"},
        api_key="two",
    )
    assert (found.page_size, found.timeout, found.thread_id, found.api_key) == (4, 60.0, ("b",), "two")
    assert found.headers == (("X-A", "1"), ("x-b", "3"), ("X-C", "4"))
    assert found.query == (("P", "2"), ("p", "5"))
    assert found.attach == (("c", str(Path("d.db").resolve())),)


def test_bad_value_counts_even_where_an_argument_wins() -> None:
    assert "page_size" in refusal("messages://?page_size=0", page_size=4)


def test_table_of_options() -> None:
    fields = {field.name for field in dataclasses.fields(Options)}
    assert fields == {*OPTION_NAMES, "store", "organization", "project"}
    defaults = dataclasses.asdict(options("messages://h"))
    assert all(
        defaults[option.name] == option.default for option in OPTIONS if option.name not in ("base_url", "unscoped")
    )
    assert all(option.meaning for option in OPTIONS)


# The source of the default threads


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("ids.csv#a b", FileSource(os.path.realpath("ids.csv"), "csv", "a b")),
        ("IDS.CSV", FileSource(os.path.realpath("IDS.CSV"), "csv")),
        ("x#y.jsonl#c", FileSource(os.path.realpath("x#y.jsonl"), "jsonl", "c")),
        ("ids.ndjson", FileSource(os.path.realpath("ids.ndjson"), "jsonl")),
        ("CRM.people.thread", TableSource("crm", "people", "thread")),
        ("crm.txt", FileSource(os.path.realpath("crm.txt"), "text")),
        ("other.people.thread", FileSource(os.path.realpath("other.people.thread"), "text")),
    ],
)
def test_threads(text: str, source: FileSource | TableSource) -> None:
    assert options("messages://", threads=text, attach={"crm": "x.db"}).threads == source
    for mark in ("#", "%23"):
        url = f"messages://?page_size=3&threads={text.replace('#', mark)}&attach.crm=x.db"
        assert options(url).threads == source
        assert options(url).page_size == 3


# Credentials


CREDENTIALS = """
    authorization Authorization proxy-authorization api-key Api-Key x-api-key X-API-KEY apikey api_key apiKey api-key-2
    cookie set-cookie cookie2 token tokens access_token id-token X-Auth-Token auth code key secret client_secret
    password passwd pwd signature sig sas session credentials Ocp-Apim-Subscription-Key x-functions-key
    X-Amz-Security-Token Host X-Forwarded-Host
"""


@pytest.mark.parametrize("name", CREDENTIALS.split())
def test_credentials_are_refused_in_a_url(name: str) -> None:
    for option in ("headers", "query"):
        text = refusal(f"messages://host?{option}.{name}=keykey")
        assert f"connect({option}=" in text
        assert "keykey" not in text
        assert getattr(options("messages://host", **{option: {name: "keykey"}}), option) == ((name, "keykey"),)


@pytest.mark.parametrize(
    "name", ["api-version", "X-Request-Source", "User-Agent", "OpenAI-Beta", "Accept-Language", "tenant"]
)
def test_other_names_pass_in_a_url(name: str) -> None:
    assert options(f"messages://host?headers.{name}=1&query.{name}=1").headers == ((name, "1"),)


@pytest.mark.parametrize("name", ["Authorization", "API-KEY"])
def test_key_and_header_clash(name: str) -> None:
    assert "leave one out" in refusal("messages://:keykey@host", headers={name: "x"})
    assert "leave one out" in refusal("messages://host", api_key="keykey", headers={name: "x"})
    found = options("messages://api.openai.com", {"OPENAI_API_KEY": ENVIRONMENT_KEY}, headers={name: "x"})
    assert found.api_key is None


def test_keys() -> None:
    def token() -> str:
        return "fresh"

    assert options("messages://:a%2Fb%40c%3A+@host").api_key == "a/b@c:+"
    assert options("messages://:a:b@c@host").api_key == "a:b@c"
    assert options("messages://host", api_key=token).api_key is token
    assert options("messages://", api_key="generic").api_key is None
    assert options("messages://:explicit@api.openai.com", {"OPENAI_API_KEY": ENVIRONMENT_KEY}).api_key == "explicit"


def test_organization_and_project() -> None:
    environ = {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    for url in ("messages://api.openai.com/v1", "messages+http://localhost", "messages://:own-key@gateway.example"):
        found = options(url, {**environ, "OPENAI_BASE_URL": "https://gateway.example/v1"})
        assert (found.organization, found.project) == ("org-1", "proj-1")
    for url in ("messages://", "messages://host", "messages://:own-key@host", "messages://gateway.example:8443"):
        found = options(url, {**environ, "OPENAI_BASE_URL": "https://gateway.example/v1"})
        assert (found.organization, found.project) == (None, None)
    assert options("messages://localhost", {"OPENAI_ORG_ID": ""}).organization is None
    assert "OPENAI_ORG_ID" in refusal("messages://localhost", {"OPENAI_ORG_ID": "a\r\nX: b"})


@pytest.mark.parametrize(
    ("url", "base", "sent"),
    [
        ("messages://api.openai.com/v1", "", True),
        ("messages://API.OpenAI.com:443/v1", "", True),
        ("messages://localhost:8443/v1", "", True),
        ("messages+http://127.8.0.1:8080/v1", "", True),
        ("messages+http://[::1]:8080/v1", "", True),
        ("messages://Gateway.example:8443/other", "https://gateway.EXAMPLE:8443/v1?api-version=1", True),
        ("messages+http://10.0.0.1/v1?allow_insecure=1", "http://10.0.0.1:80/v1", True),
        ("messages://gateway.example/v1", "https://gateway.example:8443/v1", False),
        ("messages+http://gateway.example/v1?allow_insecure=1", "https://gateway.example/v1", False),
        ("messages+http://gateway.example:443/v1?allow_insecure=1", "https://gateway.example/v1", False),
        ("messages://other.example/v1", "https://gateway.example/v1", False),
        ("messages://evil/v1", "not a URL", False),
        ("messages://evil/v1", "https://evil@gateway.example/v1", False),
        ("messages+http://api.openai.com/v1?allow_insecure=1", "", False),
        ("messages://api.openai.com:8443/v1", "", False),
        ("messages://api.openai.com./v1", "", False),
        ("messages://api.openai.com.evil.com/v1", "", False),
        ("messages://xapi.openai.com/v1", "", False),
        ("messages://localhost.evil.com", "", False),
        ("messages://127.0.0.1.evil.com", "", False),
        ("messages://2130706433", "", False),
        ("messages://[::ffff:127.0.0.1]", "", False),
        ("messages://0.0.0.0", "", False),
    ],
)
def test_where_the_environment_key_goes(url: str, base: str, sent: bool) -> None:
    environ = {"OPENAI_API_KEY": ENVIRONMENT_KEY, "OPENAI_BASE_URL": base}
    assert options(url, environ).api_key == (ENVIRONMENT_KEY if sent else None)


def test_environment_key_is_checked_where_it_is_used() -> None:
    assert options("messages://api.openai.com", {"OPENAI_API_KEY": ""}).api_key is None
    assert options("messages://host", {"OPENAI_API_KEY": "key\nkey"}).api_key is None
    text = refusal("messages://api.openai.com", {"OPENAI_API_KEY": "keykey\n"})
    assert "OPENAI_API_KEY" in text
    assert "keykey" not in text


def contact(base_url: str) -> tuple[str | None, str | None, int]:
    """Say whom requests would speak to."""
    url = parse_url(requests.Request("GET", f"{base_url}/threads").prepare().url or "")
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}[url.scheme or ""]


def may_have_the_environment_key(place: tuple[str | None, str | None, int], base: str) -> bool:
    host = place[1] or ""
    home = host.startswith("127.") and host.replace(".", "").isdigit()
    return place in (("https", "api.openai.com", 443), contact(base)) or home or host in ("localhost", "[::1]")


BASES = ["https://gateway.example/v1", "http://10.0.0.1:8080", "https://[2001:db8::1]:8443/v1"]
PIECES = [
    *["api.openai.com", "localhost", "127.0.0.1", "[::1]", "gateway.example", "10.0.0.1", "[2001:db8::1]", "evil.com"],
    *[
        "@",
        ":",
        "/",
        "//",
        "\\",
        "?",
        "#",
        ".",
        "%40",
        "%2F",
        "%2E",
        "%00",
        "%23",
        "。",
        "\uff0f",
        "\u212a",
        "ß",
        "\t",
        "\n",
        " ",
    ],
    *[
        "443",
        "80",
        "8080",
        "8443",
        ":443",
        ":8080",
        ":8443",
        "0x7f.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "user",
        ";",
        "&",
        "=",
    ],
    *["?allow_insecure=1", "headers.Host=evil.com", "query.a=b", "xn--", "-", "_", "[", "]", "v1"],
]


@settings(max_examples=1500, deadline=None)
@given(
    scheme=st.sampled_from(["messages://", "messages+http://"]),
    pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), min_size=1, max_size=6),
    base=st.sampled_from(BASES),
)
@example(scheme="messages://", pieces=["api.openai.com", "@", "evil.com"], base=BASES[0])
@example(scheme="messages://", pieces=["evil.com", "\\", "@", "api.openai.com"], base=BASES[0])
@example(scheme="messages+http://", pieces=["evil.com", "#", "@", "localhost"], base=BASES[0])
@example(scheme="messages://", pieces=["api.openai.com", "?", "headers.Host=evil.com"], base=BASES[0])
@example(scheme="messages+http://", pieces=["10.0.0.1", ":8080", "?allow_insecure=1"], base=BASES[1])
def test_no_url_leads_the_environment_key_elsewhere(scheme: str, pieces: list[str], base: str) -> None:
    environ = {"OPENAI_API_KEY": ENVIRONMENT_KEY, "OPENAI_BASE_URL": base}
    try:
        found = resolve(scheme + "".join(pieces), {}, environ)
    except InterfaceError:
        return
    if found.api_key == ENVIRONMENT_KEY:
        assert found.base_url is not None
        assert may_have_the_environment_key(contact(found.base_url), base)
        assert not any(name.lower() == "host" for name, _ in found.headers)


@settings(max_examples=300, deadline=None)
@given(st.from_regex(r"(?i)[a-z0-9.:_\[\]-]{1,20}", fullmatch=True), st.text(max_size=10))
def test_requests_speaks_to_the_host_that_was_checked(place: str, path: str) -> None:
    try:
        found = resolve(f"messages://{place}/{path}", {}, {})
    except InterfaceError:
        return
    assert found.base_url is not None
    host = contact(found.base_url)[1]
    assert host is not None
    assert found.base_url.startswith((f"https://{host}:", f"https://{host}/")) or found.base_url == f"https://{host}"


# Every piece of such a key can be told from all other text, wherever an unescaped character cuts it.
PIECE = "zqjx"
KEYS = st.lists(st.sampled_from("/?#@:%&=[]+\\ \n") | st.text(max_size=3), min_size=1, max_size=4).map(
    lambda cuts: PIECE + PIECE.join(cuts) + PIECE
)
MISTAKES: list[dict[str, Any]] = [
    {},
    {"page_size": 0},
    {"headers": {"Authorization": "x"}},
    {"headers": {"X": "a\nb"}},
    {"base_url": "https://host"},
    {"timeuot": 3},
]


@settings(max_examples=600, deadline=None)
@given(
    key=KEYS,
    scheme=st.sampled_from(["messages", "messages+http", "https", "messges"]),
    user=st.sampled_from(["", "", "", "user"]),
    place=st.sampled_from(["host", "localhost:8080", "", "ho st", "host:99999", "10.0.0.1", "store.db"]),
    tail=st.sampled_from(["", "/v1", "/v1#x", "/v1?page_size=0", "?x=1", "/a@b", "?api_key=", "?headers.api-key="]),
    mistake=st.sampled_from(MISTAKES),
)
@example("zqjx/9/zqjx", "messages", "", "host", "/v1", {})
@example("zqjx?page=zqjx", "messages", "", "host", "/v1", {})
@example("zqjx#zqjx#zqjx", "messages+http", "", "localhost", "", {})
@example("zqjx@9@zqjx&zqjx?", "messages", "", "host", "", {})
@example("zqjx%FFzqjx", "messages", "", "host", "", {})
def test_a_key_is_never_shown(key: str, scheme: str, user: str, place: str, tail: str, mistake: dict[str, Any]) -> None:
    """Also not in part: a key that was not escaped is cut at its first reserved character."""
    tail += key if tail.endswith("=") else ""
    url = f"{scheme}://{user}:{key}@{place}{tail}"
    bare = f"{scheme}://{place}{tail}"
    environ = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"https://{key}@{place}"}
    assert PIECE not in outcome(url, mistake, {}).lower()
    assert PIECE not in outcome(f"{scheme}://:{key.replace('@', '')}", mistake, {}).lower()
    assert PIECE not in outcome(bare, {"api_key": key, **mistake}, {}).lower()
    assert PIECE not in outcome(None, mistake, {"MESSAGES_URL": url}).lower()
    assert PIECE not in outcome(None, mistake, environ).lower()
    assert PIECE not in outcome(bare, mistake, environ).lower()


def outcome(url: str | None, arguments: Mapping[str, object], environ: Mapping[str, str]) -> str:
    try:
        found = resolve(url, arguments, environ)
    except InterfaceError:
        return refusal(url, environ, **arguments)
    return repr(found) + str(found) + describe(found)


def test_what_may_hold_a_credential_is_not_shown() -> None:
    found = options("messages://host", headers={"Authorization": "keykey"}, query={"code": "keykey"})
    assert "keykey" not in repr(found)
    assert "keykey" not in repr(parse_address("messages://:keykey@host?api_key=keykey"))
    wrongs: list[Any] = [["keykey"], {"X-A": "keykey\n"}, b"keykey"]
    for wrong in wrongs:
        for name in ("headers", "query", "api_key", "base_url"):
            assert "keykey" not in refusal("messages://host", **{name: wrong})


def test_files_names_what_leads_to_files(tmp_path: Path) -> None:
    """For those who must not open any."""
    ids, crm = tmp_path / "ids.txt", tmp_path / "crm.db"
    assert resolve("messages://", {}, {}).files == ()
    assert resolve("messages:///x.db", {}, {}).files == ("store",)
    assert resolve("messages://", {"local": ":memory:"}, {}).files == ()
    of_a_table = {"attach": {"crm": crm}, "threads": "crm.customers.thread"}
    assert resolve("messages://", of_a_table, {}).files == ("attach",)
    given = {"local": crm, "attach": {"crm": crm}, "threads": ids}
    assert resolve("messages://:k@host/v1", given, {}).files == ("threads", "local", "attach")
