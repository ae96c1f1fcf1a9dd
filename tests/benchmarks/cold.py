"""What only a fresh process can tell: the CPU of imports and of the first connection, and how memory grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .library import LISTED, STREAMED, Urls
from .memory import WAYS, Grown

_ROOT = Path(__file__).parents[2]

BARE = "bare Python"
CONNECT = "import and connect"


class Cold:
    """Start fresh processes, whose modules are compiled by then, as those of an installed package are."""

    def __init__(self, urls: Urls, rounds: int) -> None:
        self._url = urls.near
        self._rounds = rounds
        self._environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def times(self) -> dict[str, float]:
        """Give milliseconds of CPU of whole processes, the least of several."""
        url = self._url.replace("http://", "messages+http://", 1)
        texts = {
            BARE: "",
            "import requests": "import requests",
            "import openai": "import openai",
            CONNECT: f"import messages_dbapi; connection = messages_dbapi.connect({url!r})",
        }
        # The first round compiles what is not compiled yet; it can only be slower.
        rounds = [{name: self._time(text) for name, text in texts.items()} for _ in range(self._rounds)]
        return {name: min(found[name] for found in rounds) for name in texts}

    def memory(self) -> dict[str, Grown]:
        """Read in every way, each in a process of its own."""
        return {way: self._grown(way, STREAMED if way == "stream" else LISTED) for way in WAYS}

    def _grown(self, way: str, thread_id: str) -> Grown:
        return Grown(*json.loads(self._run("-m", "tests.benchmarks.memory", way, self._url, thread_id)))

    def _time(self, text: str) -> float:
        return float(self._run("-c", f"{text}\nimport time; print(time.process_time() * 1000)"))

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=self._environment, cwd=_ROOT
        ).stdout
