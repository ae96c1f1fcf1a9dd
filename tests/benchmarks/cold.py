"""What only a fresh process can tell: the time of imports and of the first connection, and how memory grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .library import STREAMED
from .stream import Streamed

_ROOT = Path(__file__).parents[2]

_TIMED = """
import time
{before}
began = time.process_time()
{timed}
print((time.process_time() - began) * 1000)
"""


class Cold:
    """Start fresh processes, whose modules are compiled already, as those of an installed package are."""

    def __init__(self, url: str, folder: Path, repeats: int) -> None:
        self._url = url
        self._repeats = repeats
        self._environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder)}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def times(self) -> dict[str, float]:
        """Give milliseconds of CPU for what happens once in a process, the least of several processes."""
        texts = {name: _TIMED.format(before="", timed=name) for name in _IMPORTS}
        for name, url in (("connect, a service", self._url), ("connect, embedded", "messages://")):
            timed = f"connection = messages_dbapi.connect({url!r})"
            texts[name] = f"{_TIMED.format(before='import messages_dbapi', timed=timed)}connection.close()\n"
        for text in texts.values():
            self._run("-c", text)
        rounds = [{name: float(self._run("-c", text)) for name, text in texts.items()} for _ in range(self._repeats)]
        return {name: min(found[name] for found in rounds) for name in texts}

    def stream(self, size: int = 1_000) -> Streamed:
        """Stream the long thread with ``fetchmany``."""
        found = self._run("-m", "tests.benchmarks.stream", self._url, STREAMED, str(size))
        return Streamed(*json.loads(found))

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=self._environment, cwd=_ROOT
        ).stdout


_IMPORTS = ("import requests", "import openai", "import messages_dbapi")
