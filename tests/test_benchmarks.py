"""The benchmark runs and reports everything; how long anything took is not looked at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="the memory of a process is measured by POSIX means")
pytest.importorskip("orjson", reason="a baseline of the benchmark, which the extra dev brings")

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")


def test_the_benchmark_reports_everything() -> None:
    """Cases, requests, memory, fresh processes and goals: all there, and the requests as few as they can be."""
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--json"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT)
    report = json.loads(run.stdout)
    requests = {(case["group"], case["way"]): case["requests"] for case in report["cases"]}
    assert requests["one thread", "openai, its page size"] == 15
    assert requests["one thread", "driver, SELECT * again"] == 3
    assert {made for (group, _), made in requests.items() if group == "several threads"} == {3}
    assert {made for (group, _), made in requests.items() if group == "INSERT"} == {20}
    assert requests["UPDATE", "requests + orjson"] == 116
    assert [shape for shape in report["shapes"] if not shape["met"]] == []
    assert len(report["shapes"]) > 30
    assert all(case["cpu_per_message"] > 0 and case["wall_beside_loop"] > 0 for case in report["cases"])
    assert {way: grown["requests"] for way, grown in report["memory"].items() if way != "driver"} == {
        "stream": 30,
        "loop": 3,
        "floor": 3,
        "official": 3,
    }
    assert set(report["cold_cpu"]) > {"bare Python", "import and connect"}
    assert len(report["goals"]) == 16
    assert {type(goal["met"]) for goal in report["goals"]} == {bool}


def test_the_readme_holds_what_was_measured() -> None:
    """Every goal stands between the marks where ``--readme`` puts the tables, and the picture is there."""
    [measured] = re.findall(r"<!-- measured -->\n(.*?)<!-- end -->", _README, re.DOTALL)
    assert len(re.findall(r"^\|.*\| (?:yes|no) \|$", measured, re.MULTILINE)) == 16
    [picture] = re.findall(r"\((docs/speed\.\w+)\)", _README)
    assert (_ROOT / picture).stat().st_size < 100_000
