"""What every click model offers, and how every one is fitted: passes of EM until held-out pages stop gaining.

A model answers for result pages as `Sessions`: a pair is a code of the vocabulary that the log was read with, and a
code that the fit has not seen is an unknown pair, about which the prior speaks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.clicks.sessions import Flags, Floats, Sessions

Batches: TypeAlias = Callable[[], Iterable[Sessions]]
"""Gives the pages of a log, a batch at a time, from the beginning at every call: a log need not fit into memory."""

PriorKind: TypeAlias = Literal["auto", "global", "exposure", "query"]
TINY: Final = 1e-6
"""No click is ever held for impossible or certain: a cascade user who clicks twice costs 14 nats, not infinity."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How a model is fitted.

    iterations: at most so many passes of EM. tolerance: a gain in the held-out log-likelihood (without held-out pages:
        in the bound) per impression below which a check counts as none; patience: so many such checks end the fit.
    check: passes between two checks.
    prior: which pairs share a Beta prior, see `ranking.clicks.models.priors`.
    decay: how much the statistics of the earlier fit still count when a fit goes on, from 0 (nothing) to 1.
    spool_mb: pages that EM has to see in every pass are kept in memory up to so much, and then in a temporary file.
    """

    iterations: int = 100
    tolerance: float = 2e-5
    patience: int = 2
    check: int = 5
    prior: PriorKind = "auto"
    decay: float = 1.0
    spool_mb: float = 256.0


@dataclass(frozen=True, slots=True)
class FitReport:
    """How a fit went: `bounds` is the evidence lower bound before the pass of
    every check where no pages are held out, which EM never lets fall; `held_out` the
    log-likelihood per impression of the held-out pages at every check; `prior` the groups that shared a prior;
    `impressions` how many documents the pages showed."""

    iterations: int
    bounds: tuple[float, ...]
    held_out: tuple[float, ...]
    prior: str
    impressions: float


@dataclass(frozen=True, slots=True)
class Posterior:
    """Given all clicks of a page: the probability that each document attracts (`relevant`), and that it was examined;
    both of shape (n, r), NaN beyond the end of a page."""

    relevant: Floats
    examined: Floats


@dataclass(slots=True)
class _Best:
    """The parameters that explained the held-out pages best so far."""

    score: float = -np.inf
    parameters: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    stale: int = 0


class ClickModel(ABC):
    """A model of who clicks on what. `fit` may be called again: it starts from the parameters that there are, and the
    statistics of earlier fits still count, times `decay`."""

    name: ClassVar[str]

    def fit(
        self,
        batches: Batches,
        options: FitOptions = FitOptions(),
        validation: Batches | None = None,
    ) -> FitReport:
        """Fit to a log. With `validation` pages the parameters that explain these best are kept."""
        prior = self._collect(batches, options)
        bounds: list[float] = []
        held_out: list[float] = []
        best, before, number = _Best(), -np.inf, 0
        for number in range(1, options.iterations + 1):
            checked = number % options.check == 0 or number == options.iterations
            bound = self._step(checked and validation is None)
            if not checked:
                continue
            if validation is not None:
                score = self.mean_log_likelihood(validation())
                held_out.append(score)
            else:
                bounds.append(bound)
                score = bound / max(self._impressions(), 1.0)
            best.stale = 0 if score > before + options.tolerance else best.stale + 1
            before = max(score, before)
            if score >= best.score:
                best.score = score
                best.parameters = {name: array.copy() for name, array in self.parameters().items()}
            if best.stale >= options.patience:
                break
        if validation is not None and best.parameters:
            self.set_parameters(best.parameters)
        shown = self._impressions()
        self._finish()
        return FitReport(number, tuple(bounds), tuple(held_out), prior, shown)

    def log_likelihood(self, sessions: Sessions) -> Floats:
        """The natural logarithm of the probability of each page's clicks, shape (n,)."""
        chance = np.where(sessions.shown, self.conditional_probabilities(sessions), 0.0)
        likely = np.where(sessions.clicks, chance, 1.0 - chance)
        total: Floats = np.where(sessions.shown, np.log(np.clip(likely, TINY, None)), 0.0).sum(axis=1)
        return total

    def mean_log_likelihood(self, batches: Iterable[Sessions]) -> float:
        """Per impression, over all pages."""
        total = shown = 0.0
        for sessions in batches:
            total += float(self.log_likelihood(sessions) @ sessions.weight)
            shown += float(sessions.shown.sum(axis=1) @ sessions.weight)
        return total / max(shown, 1.0)

    def conditional_probabilities(self, sessions: Sessions) -> Floats:
        """P(click at a rank | the clicks above it), shape (n, r); NaN beyond the end of a page."""
        return self._walk(sessions, lambda rank, _: sessions.clicks[:, rank])[0]

    def simulate(self, sessions: Sessions, rng: np.random.Generator) -> Sessions:
        """The same pages with clicks that this model's user would make on them."""

        def drawn(_: int, chance: Floats) -> Flags:
            return rng.random(len(chance)) < chance

        clicks = self._walk(sessions, drawn)[1] & sessions.shown
        return Sessions.of(
            sessions.pair,
            clicks,
            sessions.query,
            sessions.weight,
            sessions.surface,
            sessions.arm,
            sessions.surfaces,
            sessions.arms,
        )

    def _walk(self, sessions: Sessions, react: Callable[[int, Floats], Flags]) -> tuple[Floats, Flags]:
        """Go down the pages: `react` says, by rank and click probability, what is clicked."""
        chances = np.full(sessions.pair.shape, np.nan)
        clicks = np.zeros(sessions.pair.shape, dtype=np.bool_)
        state = self._begin(sessions)
        for rank in range(sessions.ranks):
            chance = np.clip(self._chance(state, sessions, rank), TINY, 1.0 - TINY)
            clicks[:, rank] = react(rank, chance)
            state = self._onward(state, sessions, rank, clicks[:, rank])
            chances[:, rank] = np.where(sessions.shown[:, rank], chance, np.nan)
        return chances, clicks

    @abstractmethod
    def click_probabilities(self, sessions: Sessions) -> Floats:
        """P(click) at each rank, not knowing any click: shape (n, r); NaN beyond the end of a page."""

    @abstractmethod
    def relevance(self, pairs: npt.ArrayLike) -> Floats:
        """How attractive documents are, in [0, 1], by the code of the pair; the prior's mean for unknown ones."""

    def evidence(self, pairs: npt.ArrayLike) -> tuple[Floats, Floats]:
        """How often, by expectation, documents were clicked and how often they were examined and left alone, by the
        code of the pair; 0 for unknown ones, and in models that know no documents."""
        none = np.zeros(np.shape(pairs))
        return none, none.copy()

    @abstractmethod
    def posterior(self, sessions: Sessions) -> Posterior:
        """What the clicks of each page say about its documents."""

    @abstractmethod
    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that was fitted, by name: what is saved."""

    @abstractmethod
    def set_parameters(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what `parameters` gave."""

    @abstractmethod
    def statistics(self) -> dict[str, npt.NDArray[Any]]:
        """What a later fit has to know of the pages so far, by name: saved beside the parameters."""

    @abstractmethod
    def set_statistics(self, statistics: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what `statistics` gave."""

    @abstractmethod
    def _collect(self, batches: Batches, options: FitOptions) -> str:
        """Read the log once and keep what EM needs of it; says which prior is used."""

    @abstractmethod
    def _step(self, bounded: bool) -> float:
        """One pass of EM; the evidence lower bound under the parameters before it, where that is asked for."""

    @abstractmethod
    def _impressions(self) -> float:
        """How many documents were shown, for a bound per impression."""

    def _finish(self) -> None:  # noqa: B027 - most have nothing to forget
        """The fit is over: forget what only EM needs."""

    @abstractmethod
    def _begin(self, sessions: Sessions) -> npt.NDArray[Any]:
        """The state of the readers before rank 1, one row per page."""

    @abstractmethod
    def _chance(self, state: npt.NDArray[Any], sessions: Sessions, rank: int) -> Floats:
        """P(click) at a rank (from 0) in this state, shape (n,)."""

    @abstractmethod
    def _onward(self, state: npt.NDArray[Any], sessions: Sessions, rank: int, clicked: Flags) -> npt.NDArray[Any]:
        """The state after a rank."""
