"""A curve of propensities for people: a table, a plot in text, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from index.errors import InputError
from ranking.clicks.propensity.curve import Curve, Propensities

_WIDTH: Final = 40  # characters of a bar for the propensity 1
# Okabe and Ito's colours, which people with any colour vision tell apart.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_KINDS: Final = (".png", ".svg", ".pdf")


def table(found: Propensities) -> list[str]:
    """One line per surface and rank: the propensity, its interval, and the weight that a click there has."""
    surfaces = any(found.surfaces)
    lines = [
        f"{'surface':<12}" * surfaces
        + f"{'rank':>4}  {'propensity':>10}  {f'{found.confidence:.0%} interval':^18}  weight"
    ]
    for curve in found.curves:
        for rank, value in enumerate(curve.propensity, start=1):
            interval = _interval(curve, rank)
            name = f"{curve.surface or '-':<12}" * surfaces
            lines.append(f"{name}{rank:>4}  {value:>10.4f}  {interval:^18}  {1 / value:>6.2f}")
    return lines


def bars(curve: Curve) -> list[str]:
    """A plot in text: one bar per rank, the interval marked in it."""
    most = max(1.0, *curve.propensity)
    lines = []
    for rank, value in enumerate(curve.propensity, start=1):
        cells = list("█" * max(round(_WIDTH * value / most), 1))
        low, high = curve.low[rank - 1], curve.high[rank - 1]
        if low is not None and high is not None and high > low:
            left, right = (min(round(_WIDTH * end / most), _WIDTH + 10) for end in (low, high))
            cells += [" "] * (right + 1 - len(cells))
            for place in range(left, right + 1):
                cells[place] = "▒" if cells[place] == "█" else "─"
        lines.append(f"{rank:>4} {''.join(cells).rstrip()}")
    return lines


def draw(found: Propensities, path: Path) -> None:
    """Write the curves with their intervals to a PNG, SVG or PDF file. Raises InputError for any other name."""
    if path.suffix.lower() not in _KINDS:
        raise InputError(f"A plot cannot be written to {path}.", f"Name a file that ends in {', '.join(_KINDS)}.")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    panel = figure.subplots()
    for number, curve in enumerate(found.curves):
        colour = _COLOURS[number % len(_COLOURS)]
        ranks = list(range(1, curve.ranks + 1))
        if None not in curve.low:
            panel.fill_between(ranks, _numbers(curve.low), _numbers(curve.high), color=colour, alpha=0.15, linewidth=0)
        panel.plot(ranks, curve.propensity, color=colour, marker="o", markersize=4, label=curve.surface or None)
    panel.set_xlabel("rank")
    panel.set_ylabel("propensity (rank 1 is 1)")
    panel.set_ylim(bottom=0)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_title(f"{found.method}, {found.confidence:.0%} intervals", fontsize=9, loc="left")
    if any(found.surfaces):
        panel.legend(frameon=False)
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    figure.savefig(path, dpi=150, metadata=metadata)


def _interval(curve: Curve, rank: int) -> str:
    low, high = curve.low[rank - 1], curve.high[rank - 1]
    return "" if low is None or high is None else f"{low:.4f} - {high:.4f}"


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]
