"""The engine of models whose reader goes down the page: examines a document, clicks if attracted, and goes on or stops.

Exact EM. Down to the last click nothing is hidden but why a click did not end the search, so that counts, taken once,
say it all; below it a forward and a backward recursion give where the reader stopped. A page without any click is a
tail from the top: its reader may have stopped anywhere, or seen all of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.base import TINY, Batches, ClickModel, FitOptions, Posterior
from ranking.clicks.models.priors import Betas, Exposure, groups
from ranking.clicks.models.sums import added, spread, sums
from ranking.clicks.models.tails import Spool, Tails
from ranking.clicks.sessions import Flags, Floats, Sessions

_LOWEST = 1e-300


def _none() -> Floats:
    return np.zeros(0)


@dataclass(slots=True)
class Totals:
    """What is known or expected to have happened. By pair: `clicked`, and examined but `skipped`. After clicks, by pair
    or by rank as the model has it: the reader went on (`goes`) or did not (`stops`). After skips: `on` and `off`."""

    clicked: Floats = field(default_factory=_none)
    skipped: Floats = field(default_factory=_none)
    goes: Floats = field(default_factory=_none)
    stops: Floats = field(default_factory=_none)
    on: float = 0.0
    off: float = 0.0

    def grown(self, pairs: int, keys: int) -> Totals:
        """Room for more pairs and keys."""
        return self.plus(Totals(np.zeros(pairs), np.zeros(pairs), np.zeros(keys), np.zeros(keys)))

    def plus(self, other: Totals, factor: float = 1.0) -> Totals:
        """The sum with so much of another."""
        return Totals(
            added(self.clicked, factor * other.clicked),
            added(self.skipped, factor * other.skipped),
            added(self.goes, factor * other.goes),
            added(self.stops, factor * other.stops),
            self.on + factor * other.on,
            self.off + factor * other.off,
        )


class Chain(ClickModel):
    """P(click | examined) = alpha(pair). After a skip the reader goes on with `going_on`; after a click with a
    probability of the pair or of the rank, which the subclasses give."""

    by_rank: ClassVar[bool] = False
    """Whether what follows a click depends on its rank and not on the pair."""

    def __init__(self) -> None:
        self.attraction = Betas(0)
        self.going_on = 1.0
        self.exposure = Exposure()
        self.earlier = Totals()  # expected by earlier fits
        self._known = Totals()
        self._expected = Totals()
        self._spool = Spool(0.0)
        self._shown = 0.0

    @abstractmethod
    def _after_click(self) -> tuple[Floats, Floats]:
        """The weights of stopping and of going on after a click in an expectation step, by pair or by rank."""

    @abstractmethod
    def _learn(self, totals: Totals) -> None:
        """The M-step of what follows a click and a skip; the attraction's counts may be added to."""

    @abstractmethod
    def _go_probability(self, pairs: npt.NDArray[np.integer], rank: int | npt.NDArray[np.integer]) -> Floats:
        """P(the reader goes on | click) on these pairs at a rank from 0, of the pairs' shape."""

    def _resize(self, pairs: int, ranks: int) -> None:
        """Make room for pairs and ranks that are new."""

    def _divergence(self) -> float:
        """What the posteriors of the subclass take off the bound."""
        return 0.0

    def _seen(self, sessions: Sessions) -> Sessions:
        """The part of the pages that the model is fitted to."""
        return sessions

    def _collect(self, batches: Batches, options: FitOptions) -> str:
        self.exposure.scale(options.decay)
        self.earlier = Totals().plus(self.earlier, options.decay)
        self._known, self._spool, self._shown = Totals(), Spool(options.spool_mb * 1e6), 0.0
        ranks = 1
        for sessions in batches():
            seen = self._seen(sessions)
            self._note(sessions)
            self._known = self._known.plus(self._counted(seen))
            self._spool.add(Tails.of(seen))
            self._shown += float(seen.shown.sum(axis=1) @ seen.weight)
            ranks = max(ranks, sessions.ranks)
        name, group, seen_pairs = groups(options.prior, self.exposure)
        self.attraction.regroup(group, seen_pairs)
        self._resize(len(group), ranks)
        return name

    def _note(self, sessions: Sessions) -> None:
        shown = sessions.shown
        rank = np.broadcast_to(np.arange(sessions.ranks), shown.shape)[shown]
        query, weight = spread(sessions.query, shown).astype(np.int64), spread(sessions.weight, shown)
        pages = sums(sessions.query, sessions.weight)
        self.exposure.add(sessions.pair[shown], rank, weight, query, pages)

    def _counted(self, sessions: Sessions) -> Totals:
        """What is known for certain: all that happened down to the last click."""
        ranks = np.arange(sessions.ranks)
        last = np.where(sessions.clicks, ranks, -1).max(axis=1)
        weight = sessions.weight
        above = ranks[None, :] < last[:, None]
        skipped = above & ~sessions.clicks & sessions.shown
        passed = above & sessions.clicks  # clicks that were not the last one
        key = np.broadcast_to(ranks, passed.shape) if self.by_rank else sessions.pair
        return Totals(
            sums(sessions.pair[sessions.clicks], spread(weight, sessions.clicks)),
            sums(sessions.pair[skipped], spread(weight, skipped)),
            sums(key[passed], spread(weight, passed)),
            on=float(spread(weight, skipped).sum()),
        )

    def _step(self, bounded: bool) -> float:
        yes, no = self.attraction.weights()
        stop, go = self._after_click()
        known = self._known.grown(len(yes), len(stop)).plus(self.earlier)
        totals, evidence = known, 0.0
        for tails in self._spool:
            expected, logs = self._expect(tails, np.append(no, 1.0), stop, go)
            totals = totals.plus(expected)
            evidence += logs
        bound = np.nan
        if bounded:
            evidence += float(known.clicked @ _log(yes) + known.skipped @ _log(no) + known.goes @ _log(go))
            evidence += float(known.stops @ _log(stop) + known.on * _log(self.going_on))
            evidence += float(known.off * _log(1.0 - self.going_on))
            bound = evidence - self.attraction.divergence() - self._divergence()
        self._expected = totals
        self.attraction.fit_prior()
        self._learn(totals)
        return bound

    def _expect(self, tails: Tails, no: Floats, stop: Floats, go: Floats) -> tuple[Totals, float]:
        """What is expected to have happened in these tails, and the logarithm of how likely they are.

        `silent[k]` is how likely nothing is clicked from rank k on, given that it is examined (the backward recursion);
        `reach[k]` how likely rank k was examined, given the whole page (the forward one).
        """
        on, columns = self.going_on, tails.columns
        off = 1.0 - on
        silent: list[Floats] = [np.zeros(0)] * len(columns)
        onward: list[Floats] = [np.zeros(0)] * len(columns)  # stops after the skip, or goes on and skips the rest
        below = np.ones(len(tails))  # beyond the end of a page nobody clicks
        for rank in reversed(range(len(columns))):
            column = columns[rank]
            onward[rank] = off + on * below[: len(column)]
            silent[rank] = np.where(column >= 0, no[column] * onward[rank], below[: len(column)])  # slots may be empty
            below[: len(column)] = silent[rank]
        clicked = tails.last >= 0
        key = np.where(clicked, tails.last if self.by_rank else tails.clicked, 0)
        going = np.where(clicked, go[key] * below, below)
        stopping = np.where(clicked, stop[key], 0.0)
        chance = np.maximum(going + stopping, _LOWEST)
        reached = going / chance * tails.weight
        stopped = (tails.weight - reached)[clicked]
        goes = sums(key[clicked], reached[clicked], len(go))
        stops = sums(key[clicked], stopped, len(stop))
        reach, total_on, total_off = [], 0.0, 0.0
        for rank, column in enumerate(columns):
            here, filled = reached[: len(column)], column >= 0
            reach.append(here * filled)
            if rank + 1 < len(columns):
                went = here * on * silent[rank + 1][: len(column)] / np.maximum(onward[rank], _LOWEST)
                counts = filled & (tails.end[: len(column)] > rank)  # where nothing follows, going on means nothing
                total_on += float(went @ counts)
                total_off += float((here - went) @ counts)
                reached = np.concatenate([np.where(filled, went, here), reached[len(column) :]])
        shown = np.concatenate(columns)
        skipped = sums(np.where(shown < 0, len(no) - 1, shown), np.concatenate(reach), len(no))
        logs = float(tails.weight @ np.log(chance))
        return Totals(np.zeros(0), skipped[:-1], goes, stops, total_on, total_off), logs

    def _impressions(self) -> float:
        return self._shown

    def _finish(self) -> None:
        self.earlier = self._expected
        self._known, self._expected = Totals(), Totals()
        self._spool.close()

    def evidence(self, pairs: npt.ArrayLike) -> tuple[Floats, Floats]:
        return self.attraction.evidence(np.asarray(pairs, dtype=np.int64))

    def relevance(self, pairs: npt.ArrayLike) -> Floats:
        return self.attraction.looked_up(np.asarray(pairs, dtype=np.int64))

    def click_probabilities(self, sessions: Sessions) -> Floats:
        examined = np.ones(len(sessions))
        chances = np.full(sessions.pair.shape, np.nan)
        for rank in range(sessions.ranks):
            pair = sessions.pair[:, rank]
            attraction = self.relevance(pair)
            chances[:, rank] = np.where(pair >= 0, examined * attraction, np.nan)
            going = attraction * self._go_probability(pair, rank) + (1.0 - attraction) * self.going_on
            examined = examined * np.where(pair >= 0, going, 1.0)
        return chances

    def posterior(self, sessions: Sessions) -> Posterior:
        attraction, shown, ranks = self.relevance(sessions.pair), sessions.shown, np.arange(sessions.ranks)
        last = np.where(sessions.clicks, ranks, -1).max(axis=1)
        onward, below = np.ones(attraction.shape), np.ones(len(sessions))
        silent = np.ones(attraction.shape)
        for rank in reversed(range(sessions.ranks)):
            onward[:, rank] = 1.0 - self.going_on + self.going_on * below
            silent[:, rank] = below = np.where(shown[:, rank], (1.0 - attraction[:, rank]) * onward[:, rank], below)
        examined = np.ones(attraction.shape)
        reached = np.ones(len(sessions))
        for rank in range(sessions.ranks):
            below = silent[:, rank]
            if rank:
                pair = sessions.pair[:, rank - 1]
                go = np.clip(self._go_probability(pair, rank - 1), TINY, 1.0 - TINY)
                clicked = go * below / (go * below + 1.0 - go)
                skipped = self.going_on * below / np.maximum(onward[:, rank - 1], _LOWEST)
                went = np.where(sessions.clicks[:, rank - 1], clicked, skipped)
                reached = reached * np.where(shown[:, rank - 1], went, 1.0)
            reached = np.where(rank <= last, 1.0, reached)
            examined[:, rank] = reached
        relevant = np.where(sessions.clicks, 1.0, (1.0 - examined) * attraction)
        return Posterior(np.where(shown, relevant, np.nan), np.where(shown, examined, np.nan))

    def _begin(self, sessions: Sessions) -> npt.NDArray[Any]:
        return np.ones(len(sessions))

    def _chance(self, state: npt.NDArray[Any], sessions: Sessions, rank: int) -> Floats:
        chance: Floats = state * self.relevance(sessions.pair[:, rank])
        return chance

    def _onward(self, state: npt.NDArray[Any], sessions: Sessions, rank: int, clicked: Flags) -> npt.NDArray[Any]:
        pair = sessions.pair[:, rank]
        attraction = self.relevance(pair)
        skipped = state * (1.0 - attraction) * self.going_on / np.maximum(1.0 - state * attraction, TINY)
        return np.where(clicked, self._go_probability(pair, rank), np.where(pair >= 0, skipped, state))

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        return {"going_on": np.array([self.going_on]), **self.attraction.arrays("attraction")}

    def set_parameters(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        self.going_on = float(parameters["going_on"][0])
        self.attraction.take(parameters, "attraction")

    def statistics(self) -> dict[str, npt.NDArray[Any]]:
        by_key = {f"earlier.{name}": getattr(self.earlier, name) for name in ("clicked", "skipped", "goes", "stops")}
        return {**by_key, "earlier.skips": np.array([self.earlier.on, self.earlier.off]), **self.exposure.arrays()}

    def set_statistics(self, statistics: Mapping[str, npt.NDArray[Any]]) -> None:
        on, off = statistics["earlier.skips"].tolist()
        by_key = {name: np.array(statistics[f"earlier.{name}"]) for name in ("clicked", "skipped", "goes", "stops")}
        self.earlier = Totals(**by_key, on=on, off=off)
        self.exposure = Exposure.of(statistics)


def _log(values: Floats | float) -> Any:
    return np.log(np.maximum(values, _LOWEST))
