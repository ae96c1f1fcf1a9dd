"""A real Superset and the service it reads: each a process of its own on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import requests

_BIN = Path(sys.executable).parent
_START = 120.0
_USER = {"username": "admin", "password": "admin"}
_CONFIG = """\
from datetime import timedelta

SECRET_KEY = "of this test alone, and of no use elsewhere"
SQLALCHEMY_DATABASE_URI = {metadata!r}
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
TEST_DATABASE_CONNECTION_TIMEOUT = timedelta(seconds=10)
FEATURE_FLAGS = {{"RLS_IN_SQLLAB": True, "SSH_TUNNELING": True}}
"""


class Superset:
    """A client of Superset's REST API, signed in as the administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        # As a browser does: some of Superset's addresses know no tokens.
        self._session.post(f"{url}/login/", data=_USER, timeout=60)

    @property
    def cookies(self) -> dict[str, str]:
        """Give what tells the administrator from others."""
        return self._session.cookies.get_dict()

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request and give the answer, whatever it is."""
        return self._session.request(method, f"{self.url}{path}", timeout=60, **options)

    def get(self, path: str) -> Any:
        """Get what stands at a path."""
        return _good(self.request("GET", path))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create or ask something."""
        return _good(self.request("POST", path, json=body))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something."""
        return _good(self.request("PUT", path, json=body))

    def delete(self, path: str) -> Any:
        """Delete something."""
        return _good(self.request("DELETE", path))


def _good(answer: requests.Response) -> Any:
    if not answer.ok:
        raise RuntimeError(f"{answer.request.method} {answer.request.path_url}: {answer.status_code} {answer.text}")
    return answer.json()


@contextmanager
def serve_messages(store: Path, key: str) -> Iterator[str]:
    """Serve the messages of a store, and give the base URL."""
    command = [str(_BIN / "messages-sql"), "serve", "--store", str(store), "--api-key", key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment({})) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def set_up(folder: Path) -> None:
    """Make Superset's own database in a folder, with its administrator."""
    (folder / "superset_config.py").write_text(_CONFIG.format(metadata=f"sqlite:///{folder / 'superset.db'}"))
    admin = ["--username", _USER["username"], "--password", _USER["password"], "--email", "admin@example.com"]
    names = ["--firstname", "Ada", "--lastname", "Admin"]
    with (folder / "set-up.log").open("w") as log:
        for command in (["db", "upgrade"], ["fab", "create-admin", *admin, *names], ["init"]):
            _run(folder, log, command)


def _run(folder: Path, log: TextIO, command: list[str]) -> None:
    environment = _environment({"SUPERSET_CONFIG_PATH": str(folder / "superset_config.py")})
    run = subprocess.run([_BIN / "superset", *command], env=environment, stdout=log, stderr=log, check=False)
    if run.returncode:
        raise RuntimeError(f"superset {' '.join(command)} failed:\n{(folder / 'set-up.log').read_text()[-4000:]}")


@contextmanager
def serve_superset(folder: Path, variables: Mapping[str, str]) -> Iterator[Superset]:
    """Serve the Superset of a folder with more environment variables, and give a client of it."""
    port = _free_port()
    environment = _environment({"SUPERSET_CONFIG_PATH": str(folder / "superset_config.py"), **variables})
    command = [str(_BIN / "superset"), "run", "--port", str(port), "--with-threads"]
    with (
        (folder / f"server-{port}.log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/health", process)
            yield Superset(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Give the environment without what would lead the driver or Superset elsewhere."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("OPENAI_", "MESSAGES_", "SUPERSET_", "FLASK_"))}
    return kept | {"FLASK_APP": "superset.app:create_app()"} | dict(variables)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise RuntimeError("Superset did not start: see its log")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
