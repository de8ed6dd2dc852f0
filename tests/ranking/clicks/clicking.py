"""Logs of people who examine ranks with known probabilities, made by known policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.clicks.sessions import Sessions

CURVE = np.array([1.0, 0.6, 0.4, 0.3, 0.25])

Change: TypeAlias = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.int64]]


class World:
    """Queries with documents of known relevance; pages of `len(theta)` documents."""

    def __init__(
        self, seed: int, queries: int = 100, documents: int = 8, theta: npt.NDArray[np.float64] = CURVE
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.theta, self.ranks = theta, len(theta)
        self.queries, self.documents = queries, documents
        self.relevance = self.random.beta(1.5, 2.5, (queries, documents)).clip(0.05, 0.95)

    def scores(self, noise: float = 0.5) -> npt.NDArray[np.float64]:
        """What a ranker thinks of every document."""
        return self.relevance + self.random.normal(0, noise, self.relevance.shape)

    def draw(self, pages: int) -> npt.NDArray[np.int64]:
        return self.random.integers(self.queries, size=pages)

    def top(self, scores: npt.NDArray[np.float64], query: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The documents that a ranker shows, shape (pages, ranks)."""
        return np.argsort(-scores, axis=1)[query][:, : self.ranks]

    def shown(
        self,
        query: npt.NDArray[np.int64],
        documents: npt.NDArray[np.int64],
        arm: npt.ArrayLike | None = None,
        arms: tuple[str, ...] = ("",),
        surface: npt.ArrayLike | None = None,
        surfaces: tuple[str, ...] = ("",),
        theta: npt.NDArray[np.float64] | None = None,
    ) -> Sessions:
        """Pages with clicks."""
        chance = self.relevance[query[:, None], documents] * (self.theta if theta is None else theta)
        clicks = self.random.random(documents.shape) < chance
        pair = query[:, None] * self.documents + documents
        return Sessions.of(pair, clicks, query, None, surface, arm, surfaces, arms)

    def rankers(self, pages: int, versions: int = 3) -> Sessions:
        """Traffic split over rankers that disagree."""
        scores = np.stack([self.scores() for _ in range(versions)])
        query, arm = self.draw(pages), self.random.integers(versions, size=pages)
        documents = np.argsort(-scores[arm, query], axis=1)[:, : self.ranks]
        return self.shown(query, documents, arm, tuple(f"v{n}" for n in range(versions)))

    def one_ranker(self, pages: int) -> Sessions:
        """The same page for a query, always."""
        query = self.draw(pages)
        return self.shown(query, self.top(self.scores(), query))

    def exchanged(self, pages: int, change: Change, arms: tuple[str, ...]) -> Sessions:
        """One ranker; `change(documents, arm)` exchanges what the arms say."""
        query, arm = self.draw(pages), self.random.integers(len(arms), size=pages)
        return self.shown(query, change(self.top(self.scores(), query), arm), arm, arms)
