"""The figures of a report, as SVG: read at a glance, with the same colour for a ranker everywhere."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.analysis import ALL, Analysis
from eval.experiment import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision tell apart, then darker shades of them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
MARKERS = "osD^vPX*"
WON, TIED, LOST = "#009E73", "#CCCCCC", "#D55E00"
INK = "#333333"
NAME_WIDTH, NAME_HEIGHT = 70, 11  # of a ranker's name beside its point, in points


def all_figures(analysis: Analysis) -> dict[str, str]:
    """Name -> SVG, in the order of the report."""
    figures: dict[str, Callable[[Analysis], Figure]] = {
        "k": by_k,
        **({"gains": gains, "reliability": reliability} if analysis.comparisons else {}),
        "pareto": pareto,
    }
    if len(analysis.rounds) > 1:
        figures = {"rounds": by_round, **figures}
    return {name: to_svg(draw(analysis), name) for name, draw in figures.items()}


def by_k(analysis: Analysis) -> Figure:
    """The primary measure against k, one panel per collection and one for their mean, with confidence bands."""
    return _panels(analysis, analysis.protocol.k, "k", lambda names: analysis.bands(names, by_k=True))


def by_round(analysis: Analysis) -> Figure:
    """The primary measure after each round of a session."""
    return _panels(analysis, analysis.rounds, "round", lambda names: analysis.bands(names, by_k=False))


def _panels(analysis: Analysis, places: Sequence[int], label: str, bands: Callable[[Sequence[str]], Floats]) -> Figure:
    groups: Mapping[str, Sequence[str]] = {name: [name] for name in analysis.collections}
    if len(groups) > 1:
        groups = {f"{ALL} of {len(groups)} collections": analysis.collections, **groups}
    figure, panels = _grid(len(groups))
    for panel, (title, names) in zip(panels, groups.items(), strict=True):
        for (ranker, style), lines in zip(_styles(analysis).items(), bands(names), strict=True):
            mean, low, high = lines.T
            panel.fill_between(places, low, high, color=style["color"], alpha=0.07, linewidth=0)
            panel.plot(places, mean, **style, label=ranker)
        panel.set_title(title, fontsize=9, loc="left", fontweight="bold")
        panel.set_xticks(list(places))
    panels[0].set_ylabel(analysis.experiment.primary)
    panels[0].set_xlabel(label)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


def gains(analysis: Analysis) -> Figure:
    """How much each topic gains by the best ranker of ours over the baseline, sorted, one panel per collection."""
    baseline = analysis.experiment.head.baseline
    best = next((name for name in (analysis.best("ours"), analysis.rankers[-1]) if name and name != baseline), baseline)
    figure, panels = _grid(len(analysis.collections), sharey=True)
    for panel, name in zip(panels, analysis.collections, strict=True):
        mine, theirs = analysis.topics(name, best), analysis.topics(name, baseline)
        change = np.sort(mine.values[:, 0] - theirs.values[:, 0])[::-1]
        panel.bar(range(len(change)), change, color=np.where(change >= 0, WON, LOST), width=1.0, linewidth=0)
        panel.axhline(0, color=INK, linewidth=0.8)
        panel.set_title(f"{name}: {len(change)} topics", fontsize=9, loc="left", fontweight="bold")
        panel.set_xticks([])
    panels[0].set_ylabel(f"{best} minus {baseline}")
    return figure


def reliability(analysis: Analysis) -> Figure:
    """The share of topics that each ranker wins, ties and loses against the baseline, over all collections."""
    rows = [name for name in analysis.rankers if name != analysis.experiment.head.baseline]
    against = {name: analysis.comparisons[name, analysis.columns[-1]] for name in rows}
    rows.sort(key=lambda name: against[name].losses - against[name].wins)
    figure = _figure(7.2, 0.9 + 0.36 * len(rows))
    panel = _panel(figure)
    for place, name in enumerate(reversed(rows)):
        found = against[name]
        start = -found.losses - found.ties / 2
        for count, colour in ((found.losses, LOST), (found.ties, TIED), (found.wins, WON)):
            share, left = count / found.topics, start / found.topics
            panel.barh(place, share, left=left, color=colour, height=0.72)
            if share > 0.06:
                ink = "black" if colour == TIED else "white"
                panel.text(left + share / 2, place, str(count), ha="center", va="center", fontsize=8, color=ink)
            start += count
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.set_yticks(range(len(rows)), list(reversed(rows)))
    panel.set_xlim(-1, 1)
    panel.set_xticks([-1, -0.5, 0, 0.5, 1], ["100%", "50%", "0", "50%", "100%"])
    baseline = analysis.experiment.head.baseline
    panel.set_xlabel(f"share of topics:   worse than {baseline}   |   no difference   |   better")
    return figure


def pareto(analysis: Analysis) -> Figure:
    """Mean of the primary measure against the median latency; the line joins the rankers that no other one beats."""
    points = {
        ranker: (analysis.latency(ranker, analysis.collections)["total"]["p50"], analysis.means[ranker][ALL])
        for ranker in analysis.rankers
    }
    figure = _figure(7.2, 4.0)
    panel = _panel(figure)
    front = [points[name] for name in pareto_front(points)]
    panel.step([x for x, _ in front], [y for _, y in front], where="post", color="#999999", linewidth=1, zorder=0)
    styles = _styles(analysis)
    for ranker, point in points.items():
        panel.scatter(*point, color=styles[ranker]["color"], marker=styles[ranker]["marker"], s=45, zorder=2)
    panel.set_xscale("log")
    panel.margins(x=0.22, y=0.12)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    panel.set_xlabel("median milliseconds per query (logarithmic)")
    panel.set_ylabel(analysis.experiment.primary)
    _name_points(figure, panel, points, styles)
    return figure


def _name_points(
    figure: Figure,
    panel: Axes,
    points: Mapping[str, tuple[float, float]],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write each name to the right of its point, from the top down, lower where another name stands there already."""
    figure.draw_without_rendering()  # only now are the positions final
    per_point = figure.dpi / 72
    placed: list[tuple[float, float]] = []
    for name, point in sorted(points.items(), key=lambda item: -item[1][1]):
        x, y = panel.transData.transform(point) / per_point
        at = y
        for other_x, other_y in placed:
            if abs(other_x - x) < NAME_WIDTH and abs(other_y - at) < NAME_HEIGHT:
                at = other_y - NAME_HEIGHT
        placed.append((x, at))
        offset = (8, at - y - 3)
        panel.annotate(name, point, xytext=offset, textcoords="offset points", fontsize=9, color=styles[name]["color"])


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points that no other one beats in both cost (less is better) and value, by rising cost."""
    front: list[str] = []
    highest = -np.inf
    for name, (_, value) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if value > highest:
            front.append(name)
            highest = value
    return front


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element to put into a page: texts stay texts, ids do not clash with other figures'."""
    from matplotlib import rc_context

    file = io.StringIO()
    # A fixed salt instead of a random one makes equal figures equal files.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": ["sans-serif"]}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    for pattern in (r'id="', r"url\(#", r'href="#'):
        svg = re.sub(pattern, lambda found: f"{found[0]}{name}-", svg)
    return svg


def _styles(analysis: Analysis) -> dict[str, dict[str, Any]]:
    """Ranker -> how its line looks: ours in full, the others dashed."""
    styles = {}
    for i, (name, ranker) in enumerate(analysis.experiment.rankers.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i // len(COLOURS) % len(MARKERS)]
        dash = "-" if ranker.role == "ours" else (0, (4, 2)) if ranker.role == "paper" else (0, (1, 1.5))
        styles[name] = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 4, "linewidth": 1.6}
    return styles


def _grid(count: int, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Panels, at most four in a row."""
    columns = min(4, count)
    rows = -(-count // columns)
    figure = _figure(2.6 * columns + 0.6, 2.3 * rows + 0.5)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)
    for panel in panels:
        panel.grid(axis="y", color="#EEEEEE")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[count:]:
        panel.remove()
    return figure, panels[:count]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _panel(figure: Figure) -> Axes:
    panel: Axes = figure.subplots()
    panel.spines[["top", "right"]].set_visible(False)
    return panel
