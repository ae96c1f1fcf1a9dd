"""The picture of the README: wall time by the length of a thread, and CPU per message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import cases
from .result import Result

# From the slowest to the fastest, each in one colour in both charts.
_COLOURS = {
    cases.SMALL: "#c9ced6",
    cases.OFFICIAL: "#9aa3b0",
    cases.LOOP: "#5b6676",
    cases.FIRST: "#f2a33a",
    cases.AGAIN: "#d1495b",
}
_BARS = {**_COLOURS, cases.SHORT: "#f2a33a", cases.COUNT: "#f2a33a", cases.FLOOR: "#5b6676"}


def draw(result: Result, path: Path) -> None:
    """Draw it into a file, SVG or PNG by its name."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    figure, (lines, bars) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    _draw_lines(lines, result)
    _draw_bars(bars, result)
    for axes in (lines, bars):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _draw_lines(axes: Any, result: Result) -> None:
    for way, colour in _COLOURS.items():
        found = sorted((point.length, point.wall) for point in result.points if point.way == way)
        axes.plot(*zip(*found, strict=True), marker="o", markersize=4, color=colour, label=way)
    axes.set(xscale="log", yscale="log", xlabel="messages in the thread", ylabel="seconds")
    axes.set_title(f"Reading one thread, {result.facts['latency ms']} ms a round trip", fontsize=11)
    axes.legend(frameon=False, fontsize=9)


def _draw_bars(axes: Any, result: Result) -> None:
    cpu = {way: result.of("CPU", way).cpu * 1e6 for way in _BARS}
    ways = sorted(cpu, key=lambda way: cpu[way])
    bars = axes.barh(ways, [cpu[way] for way in ways], color=[_BARS[way] for way in ways])
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    axes.set(xlabel="µs")
    axes.set_title("CPU per message", fontsize=11)
