"""The benchmark runs and reports everything; how long anything took is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="the memory of a process is measured by POSIX means")


def test_the_benchmark_reports_every_case() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--messages", "120", "--rounds", "1", "--json"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    report = json.loads(run.stdout)
    requests = {(case["group"], case["subject"], case["case"]): case["requests"] for case in report["cases"]}
    listing = {name: made for (group, _, name), made in requests.items() if group == "list"}
    assert set(listing.values()) == {2}
    assert {"SELECT *", "SELECT the 14 columns", "SELECT id, role", "COUNT(*)", "GROUP BY role"} < set(listing)
    assert {made for (group, _, _), made in requests.items() if group in ("newest 10", "point read")} == {1}
    assert {made for (group, _, _), made in requests.items() if group.startswith("INSERT")} == {200}
    assert all(case["cpu_per_message"] > 0 and case["loop_ratio"] > 0 for case in report["cases"])
    assert (report["streamed"]["messages"], report["streamed"]["requests"]) == (1_200, 12)
    assert set(report["cold_cpu"]) > {"import messages_dbapi", "connect, a service", "connect, embedded"}
