"""The engine of models in which a click is an examination and an attraction: P(click) = theta(cell) alpha(pair).

A cell is where a document stands as the reader sees it: its rank, or its rank and that of the last click. The log is
read once, into counts by pair and cell; every pass of EM works on these.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.base import TINY, Batches, ClickModel, FitOptions, Posterior
from ranking.clicks.models.priors import Betas, Exposure, Ints, groups
from ranking.clicks.models.sums import spread, sums
from ranking.clicks.sessions import Floats, Sessions

_MERGE: Final = 4_000_000  # rows of counts that are kept before equal ones are added up


@dataclass(frozen=True, slots=True)
class Counts:
    """How often pairs were shown in cells, and clicked there: arrays of shape (m,), sorted by pair and cell."""

    pair: Ints
    cell: Ints
    shown: Floats
    clicked: Floats

    @classmethod
    def none(cls) -> Counts:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    @classmethod
    def summed(cls, pair: Ints, cell: Ints, shown: Floats, clicked: Floats) -> Counts:
        """Add up the rows of equal pair and cell."""
        if not len(pair):
            return cls.none()
        stride = int(cell.max()) + 1
        key = pair * stride + cell
        size = int(pair.max() + 1) * stride
        if size <= 8 * len(key):  # a table of all keys is faster than sorting them
            totals = sums(key, shown, size)
            found = np.flatnonzero(totals)
            return cls(found // stride, found % stride, totals[found], sums(key, clicked, size)[found])
        found, place = np.unique(key, return_inverse=True)
        return cls(found // stride, found % stride, sums(place, shown), sums(place, clicked))

    @classmethod
    def joined(cls, parts: Iterable[Counts]) -> Counts:
        every = list(parts)
        if len(every) == 1:
            return every[0]
        columns = ([getattr(part, name) for part in every] for name in ("pair", "cell", "shown", "clicked"))
        return cls.summed(*(np.concatenate(column) for column in columns))

    def scaled(self, factor: float) -> Counts:
        return Counts(self.pair, self.cell, self.shown * factor, self.clicked * factor)

    def __len__(self) -> int:
        return len(self.pair)


class Factored(ClickModel):
    """P(click | cell c, pair i) = theta_c (alpha_i + epsilon_c (1 - alpha_i)), with epsilon 0 but for trust bias.

    theta of the first cell is 1, which makes the scale of alpha identifiable: whoever looks at a page sees its top.
    An examination decides whether attraction shows at all, so that unexamined documents say nothing about alpha.
    """

    def __init__(self) -> None:
        self.attraction = Betas(0)
        self.theta: Floats = np.ones(0)
        self.epsilon: Floats = np.zeros(0)
        self.counts = Counts.none()
        self.exposure = Exposure()

    @abstractmethod
    def _cells(self, sessions: Sessions) -> Ints:
        """The cell of each document given the clicks above it, shape (n, r)."""

    @abstractmethod
    def _cell_count(self, ranks: int) -> int:
        """How many cells pages of so many ranks have. Cells of longer pages come after those of shorter ones."""

    @abstractmethod
    def _rank_of(self, cell: Ints) -> Ints:
        """The ranks (from 0) of cells."""

    def _learn_cells(self, examined: Floats, shown: Floats, noise: Floats, refused: Floats) -> None:
        """The M-step of the cells, from expected counts of shape (cells,): examinations, impressions, clicks on
        documents that do not attract, and examined ones left alone. One imagined impression in two is examined."""
        self.theta = (examined + 1.0) / (shown + 2.0)
        self.theta[0] = 1.0

    def _collect(self, batches: Batches, options: FitOptions) -> str:
        self.exposure.scale(options.decay)
        parts, ranks, rows = [self.counts.scaled(options.decay)] * bool(len(self.counts)), 1, 0
        for sessions in batches():
            part = self._counted(sessions)
            parts.append(part)
            ranks, rows = max(ranks, sessions.ranks), rows + len(part)
            if rows > _MERGE:
                parts, rows = [Counts.joined(parts)], 0
        self.counts = Counts.joined(parts) if parts else Counts.none()
        name, group, seen = groups(options.prior, self.exposure)
        self.attraction.regroup(group, seen)
        self._prepare(self._cell_count(ranks))
        return name

    def _counted(self, sessions: Sessions) -> Counts:
        """One batch as counts; its exposure is noted."""
        shown = sessions.shown
        pair, cell = sessions.pair[shown].astype(np.int64), self._cells(sessions)[shown]
        weight = spread(sessions.weight, shown)
        part = Counts.summed(pair, cell, weight, weight * sessions.clicks[shown])
        query = np.zeros(int(part.pair.max(initial=-1)) + 1, dtype=np.int64)
        query[pair] = spread(sessions.query, shown)
        pages = sums(sessions.query, sessions.weight)
        self.exposure.add(part.pair, self._rank_of(part.cell), part.shown, query[part.pair], pages)
        return part

    def _prepare(self, cells: int) -> None:
        """What no pass changes: sums of the counts; and a beginning for cells that are new."""
        counts = self.counts
        cells = max(cells, len(self.theta))
        size = len(self.attraction)
        self._skipped = counts.shown - counts.clicked
        self._starts = np.flatnonzero(np.diff(counts.pair, prepend=-1))  # where the rows of each pair begin
        self._clicked_pair = sums(counts.pair, counts.clicked, size)
        self._shown_cell = sums(counts.cell, counts.shown, cells)
        self._clicked_cell = sums(counts.cell, counts.clicked, cells)
        rate = (self._clicked_cell + 1.0) / (self._shown_cell + 2.0)
        fresh = np.clip(rate / max(rate[0], TINY), 0.01, 0.99)
        fresh[0] = 1.0
        self.theta = np.concatenate([self.theta, fresh[len(self.theta) :]])
        self.epsilon = np.concatenate([self.epsilon, np.zeros(cells - len(self.epsilon))])

    def _step(self, bounded: bool) -> float:
        counts, cells, size = self.counts, len(self.theta), len(self.attraction)
        if not len(counts):
            return 0.0
        yes, no = self.attraction.weights()
        unmoved = (self.theta * (1.0 - self.epsilon))[counts.cell] * no[counts.pair]
        silent = np.maximum(unmoved + (1.0 - self.theta)[counts.cell], 1e-300)
        refused = self._skipped * unmoved / silent
        failures = np.zeros(size)
        failures[counts.pair[self._starts]] = np.add.reduceat(refused, self._starts)
        examined = sums(counts.cell, refused, cells)
        noise, noise_cell = np.zeros(size), np.zeros(cells)
        if self.epsilon.any():
            wanted, unwanted = yes[counts.pair], (self.epsilon[counts.cell] * no[counts.pair])
            believed = counts.clicked * unwanted / (wanted + unwanted)
            noise, noise_cell = (sums(of, believed, n) for of, n in ((counts.pair, size), (counts.cell, cells)))
        bound = self._bound(silent, yes, no) if bounded else np.nan
        self.attraction.fit_prior()
        self.attraction.update(self._clicked_pair - noise, failures + noise)
        self._learn_cells(examined + self._clicked_cell, self._shown_cell, noise_cell, examined)
        return bound

    def _bound(self, silent: Floats, yes: Floats, no: Floats) -> float:
        """The evidence lower bound, that of the imagined impressions included."""
        counts = self.counts
        attracted = yes[counts.pair] + self.epsilon[counts.cell] * no[counts.pair]
        examined = self._clicked_cell @ np.log(self.theta)
        imagined = np.log(self.theta[1:]).sum() + np.log1p(-self.theta[1:]).sum()
        seen = self._skipped @ np.log(silent) + counts.clicked @ np.log(attracted)
        return float(seen + examined + imagined - self.attraction.divergence())

    def _impressions(self) -> float:
        return float(self.counts.shown.sum())

    def evidence(self, pairs: npt.ArrayLike) -> tuple[Floats, Floats]:
        return self.attraction.evidence(np.asarray(pairs, dtype=np.int64))

    def relevance(self, pairs: npt.ArrayLike) -> Floats:
        return self.attraction.looked_up(np.asarray(pairs, dtype=np.int64))

    def _of_cell(self, values: Floats, cell: Ints) -> Floats:
        """The values of cells; those that the fit has not seen have the value of the last one."""
        return values[np.minimum(cell, len(values) - 1)]

    def _clicked_chance(self, cell: Ints, attraction: Floats) -> Floats:
        epsilon = self._of_cell(self.epsilon, cell)
        return self._of_cell(self.theta, cell) * (attraction + epsilon * (1.0 - attraction))

    def posterior(self, sessions: Sessions) -> Posterior:
        cell, attraction = self._cells(sessions), self.relevance(sessions.pair)
        theta, epsilon = self._of_cell(self.theta, cell), self._of_cell(self.epsilon, cell)
        clicked = attraction + epsilon * (1.0 - attraction)
        silent = np.maximum(1.0 - theta * clicked, TINY)
        trusted = attraction / np.maximum(clicked, TINY)
        relevant = np.where(sessions.clicks, trusted, attraction * (1.0 - theta) / silent)
        examined = np.where(sessions.clicks, 1.0, theta * (1.0 - clicked) / silent)
        return Posterior(np.where(sessions.shown, relevant, np.nan), np.where(sessions.shown, examined, np.nan))

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        return {"theta": self.theta, "epsilon": self.epsilon, **self.attraction.arrays("attraction")}

    def set_parameters(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        self.theta, self.epsilon = np.array(parameters["theta"]), np.array(parameters["epsilon"])
        self.attraction.take(parameters, "attraction")

    def statistics(self) -> dict[str, npt.NDArray[Any]]:
        columns = {name: getattr(self.counts, name) for name in ("pair", "cell", "shown", "clicked")}
        return {**{f"counts.{name}": column for name, column in columns.items()}, **self.exposure.arrays()}

    def set_statistics(self, statistics: Mapping[str, npt.NDArray[Any]]) -> None:
        self.counts = Counts(*(np.array(statistics[f"counts.{name}"]) for name in ("pair", "cell", "shown", "clicked")))
        self.exposure = Exposure.of(statistics)
