"""One probability per pair, with a Beta posterior each, under Beta priors that the pairs themselves decide.

Empirical Bayes: pairs are grouped, and each group's prior is the one that maximises the evidence of its pairs. Rare
pairs are shrunk to what is usual in their group, frequent ones speak for themselves. The groups:

- `global`: all pairs of the log.
- `query`: the pairs of one query.
- `exposure`: pairs that the ranker has shown equally prominently, by the discounted share of the query's pages. What a
  ranker shows is evidence of relevance, which a click log holds for nothing.
- `auto`: `exposure` where the log holds documents at several ranks, and `global` where it does not: with one fixed
  ranking per query, exposure and rank are the same thing, and a prior by rank could not be told from position bias.

The posteriors are variational (Beal, "Variational algorithms for approximate Bayesian inference", 2003, ch. 2): EM with
exp(E[log x]) in the place of x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, digamma, polygamma

from ranking.clicks.models.base import PriorKind
from ranking.clicks.models.sums import added, sums
from ranking.clicks.sessions import Floats

Ints = npt.NDArray[np.int64]

STRATA: Final = 20
KINDRED: Final = 10.0
"""So many pairs of the whole log stand beside those of a group when its prior is fitted: small groups are shrunk."""
_LOWEST, _HIGHEST = 1e-3, 1e4
_RAREST: Final = -600.0  # of a logarithm: below it exp is 0, and its logarithm is not finite
_MOVING: Final = 0.1
"""The share of the variance of ranks that must be within pairs for a log to say what exposure is worth."""


class Betas:
    """Posteriors for p pairs: `a`, `b` of shape (p,), under the prior of the group `group[i]`."""

    def __init__(self, pairs: int, a: float = 1.0, b: float = 3.0) -> None:
        self.group: Ints = np.zeros(pairs, dtype=np.int64)
        self.seen = np.ones(pairs, dtype=np.bool_)
        self.prior = np.array([[a, b]])
        self.whole = np.array([a, b])
        self.a, self.b = np.full(pairs, a), np.full(pairs, b)
        self._expect()

    def _expect(self) -> None:
        """E[log x] and E[log(1 - x)] of the present posteriors."""
        total = digamma(self.a + self.b)
        self._log_yes, self._log_no = digamma(self.a) - total, digamma(self.b) - total

    def __len__(self) -> int:
        return len(self.a)

    def regroup(self, group: Ints, seen: npt.NDArray[np.bool_]) -> None:
        """Share priors by these groups; `seen` are the pairs that the log shows. New pairs begin at the prior."""
        grown = len(group) - len(self.a)
        self.a = np.concatenate([self.a, np.full(grown, self.whole[0])])
        self.b = np.concatenate([self.b, np.full(grown, self.whole[1])])
        self.group, self.seen = group, seen
        self.prior = np.tile(self.whole, (int(group.max(initial=0)) + 1, 1))
        self._expect()

    def weights(self) -> tuple[Floats, Floats]:
        """exp(E[log x]) and exp(E[log(1 - x)]): what stands for x and 1 - x in an expectation step, shape (p,)."""
        return np.exp(np.maximum(self._log_yes, _RAREST)), np.exp(np.maximum(self._log_no, _RAREST))

    @property
    def mean(self) -> Floats:
        mean: Floats = self.a / (self.a + self.b)
        return mean

    @property
    def unknown(self) -> float:
        """The mean for a pair that nobody has seen."""
        return float(self.whole[0] / self.whole.sum())

    def looked_up(self, pairs: npt.NDArray[np.integer]) -> Floats:
        """The means by code; unknown codes (and -1) have the prior's mean."""
        table: Floats = np.append(self.mean, self.unknown)
        found: Floats = table[np.minimum(pairs, len(self))]
        return found

    def evidence(self, pairs: npt.NDArray[np.integer]) -> tuple[Floats, Floats]:
        """How many successes and failures the posteriors hold beyond their priors, by code; none for unknown ones."""
        known = (pairs >= 0) & (pairs < len(self))
        place = np.where(known, pairs, 0)
        if not len(self):
            return np.zeros(pairs.shape), np.zeros(pairs.shape)
        prior = self.prior[self.group[place]]
        return (
            np.where(known, np.maximum(self.a[place] - prior[..., 0], 0.0), 0.0),
            np.where(known, np.maximum(self.b[place] - prior[..., 1], 0.0), 0.0),
        )

    def update(self, successes: Floats, failures: Floats) -> None:
        """The posteriors after so many expected successes and failures per pair, shape (p,)."""
        prior = self.prior[self.group]
        self.a, self.b = prior[:, 0] + successes, prior[:, 1] + failures
        self._expect()

    def fit_prior(self) -> None:
        """The priors that the present posteriors make most likely."""
        logs = self._log_yes[self.seen], self._log_no[self.seen]
        if not len(logs[0]):
            return
        overall = np.array([column.mean() for column in logs])
        self.whole = _likeliest(self.whole[None], overall[None])[0]
        if len(self.prior) == 1:
            self.prior = self.whole[None].copy()
            return
        group = self.group[self.seen]
        sizes = np.bincount(group, minlength=len(self.prior))[:, None]
        within = np.stack([sums(group, column, len(self.prior)) for column in logs], axis=1)
        self.prior = _likeliest(self.prior, (within + KINDRED * overall) / (sizes + KINDRED))

    def divergence(self) -> float:
        """The Kullback-Leibler divergence of the posteriors from their priors, summed."""
        prior = self.prior[self.group]
        p, q = prior[:, 0], prior[:, 1]
        between = (self.a - p) * self._log_yes + (self.b - q) * self._log_no
        return float((betaln(p, q) - betaln(self.a, self.b) + between).sum())

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        return {f"{prefix}.{name}": getattr(self, name) for name in ("a", "b", "whole", "prior", "group")}

    def take(self, arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> None:
        """Take back what `arrays` gave."""
        for name in ("a", "b", "whole", "prior", "group"):
            setattr(self, name, np.array(arrays[f"{prefix}.{name}"]))
        if len(self.seen) != len(self.a):
            self.seen = np.ones(len(self.a), dtype=np.bool_)
        self._expect()


def groups(kind: PriorKind, exposure: Exposure) -> tuple[str, Ints, npt.NDArray[np.bool_]]:
    """The kind that is used, and for every pair its group and whether it was shown at all."""
    seen = exposure.shown > 0
    chosen = kind
    if kind == "auto":
        chosen = "exposure" if exposure.moves else "global"
    if chosen == "query":
        return chosen, np.maximum(exposure.query, 0), seen
    if chosen == "exposure" and seen.any():
        share = exposure.share
        edges = np.unique(np.quantile(share[seen], np.linspace(0, 1, STRATA + 1)[1:-1]))
        return chosen, np.searchsorted(edges, share).astype(np.int64), seen
    return "global", np.zeros(len(seen), dtype=np.int64), seen


class Exposure:
    """How prominently a log shows its pairs: sums over its pages, in one pass."""

    def __init__(self) -> None:
        none = np.zeros(0)
        self.shown, self.discounted, self.ranks, self.squares = none, none, none, none
        self.query: Ints = np.zeros(0, dtype=np.int64)
        self.pages = none

    def add(
        self, pair: npt.NDArray[np.integer], rank: npt.NDArray[np.integer], shown: Floats, query: Ints, pages: Floats
    ) -> None:
        """Count pairs shown so often at these ranks (from 0), all of shape (m,); `query` is the query's code of each,
        and `pages` how often each query was asked, by its code."""
        if not len(pair):
            return
        size = max(int(pair.max()) + 1, len(self.shown))
        self.shown = added(self.shown, sums(pair, shown, size))
        self.discounted = added(self.discounted, sums(pair, shown / np.log2(rank + 2.0), size))
        self.ranks = added(self.ranks, sums(pair, shown * rank, size))
        self.squares = added(self.squares, sums(pair, shown * rank * rank.astype(np.float64), size))
        self.query = np.concatenate([self.query, np.full(size - len(self.query), -1)])
        self.query[pair] = query
        self.pages = added(self.pages, pages)

    def scale(self, factor: float) -> None:
        """Let what has been counted count less."""
        for name in ("shown", "discounted", "ranks", "squares", "pages"):
            setattr(self, name, getattr(self, name) * factor)

    @property
    def share(self) -> Floats:
        """The discounted share of its query's pages that show a pair, 1 at the top of each; five pages of a low rank
        stand beside, so that rare queries have no extremes. Shape (pairs,)."""
        asked = self.pages[np.maximum(self.query, 0)]
        return (self.discounted + 1.0) / (asked + 5.0)

    @property
    def moves(self) -> bool:
        """Whether the same documents come at different ranks often enough."""
        total = self.shown.sum()
        if not total:
            return False
        seen = self.shown > 0
        within = (self.squares[seen] - self.ranks[seen] ** 2 / self.shown[seen]).sum()
        overall = self.squares.sum() - self.ranks.sum() ** 2 / total
        return bool(within > _MOVING * overall)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        names = ("shown", "discounted", "ranks", "squares", "query", "pages")
        return {f"exposure.{name}": getattr(self, name) for name in names}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Exposure:
        made = cls()
        for name in ("shown", "discounted", "ranks", "squares", "query", "pages"):
            setattr(made, name, np.array(arrays[f"exposure.{name}"]))
        return made


def _likeliest(start: Floats, logs: Floats, steps: int = 2) -> Floats:
    """Beta parameters (g, 2) that maximise the likelihood of mean logarithms (g, 2) of x and 1 - x: Newton's method,
    on a concave function, a few steps from the last solution."""
    a, b = start[:, 0].copy(), start[:, 1].copy()
    for _ in range(steps):
        total, both = digamma(a + b), polygamma(1, a + b)
        up, down = total - digamma(a) + logs[:, 0], total - digamma(b) + logs[:, 1]
        of_a, of_b = both - polygamma(1, a), both - polygamma(1, b)
        determinant = of_a * of_b - both * both
        new_a = a - (of_b * up - both * down) / determinant
        new_b = b - (of_a * down - both * up) / determinant
        a = np.clip(np.where(new_a > 0, new_a, a / 2), _LOWEST, _HIGHEST)
        b = np.clip(np.where(new_b > 0, new_b, b / 2), _LOWEST, _HIGHEST)
    return np.stack([a, b], axis=1)
