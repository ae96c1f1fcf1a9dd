"""Run the compliance suite, and hold what passes against SQLAlchemy's own SQLite dialect.

python -m tests.compliance [arguments of pytest]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sqlalchemy

# Passed on SQLAlchemy's SQLite dialect, by version; later ones have more tests.
_REFERENCE = {"1.4": 493, "2.0": 1385, "2.1": 1606}
_FOLDER = Path(__file__).parent


class Count:
    """Count the tests that pass; a plugin of pytest."""

    def __init__(self) -> None:
        self.passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that passed."""
        self.passed += report.when == "call" and report.passed


def main(arguments: list[str]) -> int:
    """Give pytest's status, or 1 where fewer pass than on SQLite."""
    count = Count()
    own = ["-c", str(_FOLDER / "pytest.ini"), "--rootdir", str(_FOLDER.parents[1])]
    status = int(pytest.main([*own, *(arguments or ["-q"]), str(_FOLDER)], plugins=[count]))
    version = ".".join(sqlalchemy.__version__.split(".")[:2])
    least = 0 if arguments else _REFERENCE.get(version, 0)
    said = f"SQLAlchemy {sqlalchemy.__version__}: {count.passed} passed; SQLite's own dialect: {least or 'not known'}"
    sys.stdout.write(said + "\n")
    return status or int(count.passed < least)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
