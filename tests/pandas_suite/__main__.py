"""Run pandas' own ``tests/io/test_sql.py`` on SQLite and then on ``messages://``, and compare test by test.

    python -m tests.pandas_suite [arguments of pytest]

What passes on SQLite has to pass on ``messages://``. The exit status is that of pytest's second run, or 1
where a test that passed is missing. The tests run on a copy of the file with pandas' own settings: the
wheel lacks the data that they load, and this project's settings are none of theirs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

_HERE = Path(__file__).parent
_PLUGIN = f"{__package__}.plugin"
# Servers of MySQL and PostgreSQL.
_DESELECTED = "not db"


def _installed(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not installed")
    return Path(spec.origin).parent


def _copy(to: Path) -> Path:
    """Lay out what the tests need as pandas' repository has it."""
    source = _installed("pandas")
    tests = to / "tests" / "io"
    data = tests / "data" / "csv"
    data.mkdir(parents=True)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(source / name, to)
    shutil.copy(source / "tests" / "io" / "test_sql.py", tests)
    shutil.copy(_HERE / "iris.csv", data)
    return tests / "test_sql.py"


def _run(file: Path, arguments: Sequence[str]) -> tuple[int, set[str]]:
    """Run the tests; give pytest's status, and which passed."""
    root = file.parents[2]
    report = root / "report.xml"
    report.unlink(missing_ok=True)
    ours = ["-c", str(root / "pyproject.toml"), "--rootdir", str(root), f"--junitxml={report}"]
    options = [*ours, "-p", "no:cacheprovider", "-q", "-m", _DESELECTED, *arguments]
    command = [sys.executable, "-m", "pytest", *options, str(file)]
    paths = [str(_HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    status = subprocess.run(command, cwd=root, env=environment, check=False).returncode
    return status, _passed(report) if report.exists() else set()


def _passed(report: Path) -> set[str]:
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}" for case in cases if _is_pass(case)}


def _is_pass(case: ElementTree.Element) -> bool:
    return all(case.find(tag) is None for tag in ("failure", "error", "skipped"))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # what this command is for


def main(arguments: Sequence[str]) -> int:
    """Run both, say what is different, and give the exit status."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("pandas", "SQLAlchemy"))
    with tempfile.TemporaryDirectory() as folder:
        file = _copy(Path(folder).resolve())
        _say(f"{packages}: on SQLite")
        _, expected = _run(file, arguments)
        _say(f"{packages}: on messages://")
        status, passed = _run(file, ["-p", _PLUGIN, *arguments])
    _say(f"{packages}: {len(expected)} passed on SQLite, {len(passed)} on messages://")
    missing = sorted(expected - passed)
    for test in missing:
        _say(f"passes on SQLite only: {test}")
    return status or (1 if missing or not expected else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
