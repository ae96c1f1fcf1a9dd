"""The serving command: its first line, its key, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from messages_dbapi.embedded.serve import run
from messages_dbapi.embedded.store import Store
from messages_dbapi.errors import InterfaceError

from .conftest import BETA, session

PROGRAM = "import sys; from messages_dbapi.embedded.serve import run; sys.exit(run(**eval(sys.argv[1])))"


@contextmanager
def running(options: dict[str, Any], **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command in a process of its own; give it and the base URL that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, repr(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def get(url: str, **headers: str) -> requests.Response:
    """Send a GET."""
    with session() as opened:
        return opened.get(url, headers={**BETA, **headers})


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_a_file_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "store.db"
    with running({"store": str(path)}) as (process, base_url), session() as opened:
        assert base_url.startswith("http://127.0.0.1:")
        assert base_url.endswith("/v1")
        assert opened.get(base_url.removesuffix("/v1") + "/healthz").json() == {"status": "ok"}
        thread = opened.post(f"{base_url}/threads", json={}, headers=BETA).json()["id"]
        # The session's connection stays open, idle: it must not hold the end up.
        process.send_signal(number)
        assert process.wait(20) == 0
        _, errors = process.communicate()
        assert errors == ""
    with Store(path, create=False) as store:
        assert store.thread(thread).id == thread


def test_a_key_on_loopback_is_only_the_one_given() -> None:
    with running({}, OPENAI_API_KEY="sk-environment") as (_, base_url):
        assert get(f"{base_url}/threads").status_code == 200
    with running({"api_key": "sk-given"}, OPENAI_API_KEY="sk-environment") as (_, base_url):
        assert get(f"{base_url}/threads", Authorization="Bearer sk-given").status_code == 200
        assert get(f"{base_url}/threads", Authorization="Bearer sk-environment").status_code == 401


def test_other_hosts_need_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InterfaceError, match="needs a key"):
        run(host="0.0.0.0")
    (tmp_path / "key").write_text("sk-file\n")
    for options, environment, key in (
        ({"host": "0.0.0.0"}, {"OPENAI_API_KEY": "sk-environment"}, "sk-environment"),
        ({"host": "0.0.0.0", "api_key_file": str(tmp_path / "key")}, {"OPENAI_API_KEY": "sk-no"}, "sk-file"),
    ):
        with running(options, **environment) as (_, base_url):
            threads = base_url.replace("0.0.0.0", "127.0.0.1") + "/threads"
            assert get(threads).status_code == 401
            assert get(threads, Authorization=f"Bearer {key}").status_code == 200


def test_without_a_key_only_local_names_are_answered() -> None:
    with running({}) as (_, base_url):
        port = base_url.split(":")[2].removesuffix("/v1")
        for host, status in (
            (f"localhost:{port}", 200),
            ("LOCALHOST", 200),
            (f"[::1]:{port}", 200),
            ("127.1.2.3", 200),
            (f"attacker.example:{port}", 403),
            ("localhost.attacker.example", 403),
            ("10.0.0.1", 403),
            ("127.0.0.1@attacker.example", 403),
            ("[", 403),
            ("", 403),
        ):
            assert get(f"{base_url}/threads", Host=host).status_code == status, host
    with running({"api_key": "sk-given"}) as (_, base_url):
        answer = get(f"{base_url}/threads", Host="proxy.example", Authorization="Bearer sk-given")
        assert answer.status_code == 200


def test_a_key_must_be_sendable(tmp_path: Path) -> None:
    secret = "sk-é\n"
    (tmp_path / "key").write_text("", encoding="utf-8")
    options: list[dict[str, Any]] = [
        {"api_key": ""},
        {"api_key": secret},
        {"api_key": " sk"},
        {"api_key_file": str(tmp_path / "key")},
        {"api_key_file": str(tmp_path / "none")},
    ]
    for option in options:
        with pytest.raises(InterfaceError, match="key") as caught:
            run(**option)
        assert "sk-" not in str(caught.value)


def test_what_cannot_be_served_is_said(tmp_path: Path) -> None:
    with pytest.raises(InterfaceError, match="is a directory"):
        run(store=str(tmp_path))
    with pytest.raises(InterfaceError, match=r"cannot serve on no\.such\.host\.invalid"):
        run(host="no.such.host.invalid")
    assert list(tmp_path.iterdir()) == []
