"""The README's table of promises: it says what is declared here, and what is declared is played."""

from __future__ import annotations

from pathlib import Path

from .kinds import KINDS
from .promises import HEADER, PROMISES

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_readme_says_what_is_promised() -> None:
    table = README.partition(f"\n{HEADER}\n")[2].partition("\n\n")[0]
    rule, *rows = table.splitlines()
    assert set(rule) == set("|-")
    assert rows == [promise.row for promise in PROMISES]


def test_every_promise_is_played() -> None:
    assert {kind.promise for kind in KINDS} == set(PROMISES)
