"""The position-based model by expectation-maximisation: propensities and the relevance of every pair together.

P(click) = theta_rank alpha_pair (Craswell et al., "An experimental comparison of click position-bias models", WSDM
2008). Needs pairs that were shown many times: one alpha per pair, fitted to a few views, bends theta. A Beta prior can
draw the alphas towards their mean; it makes them better and theta worse, because theta then has to explain what alphas
may not, so there is none by default. Regression-EM gives alpha as a function of features in place of one value per pair
(Wang et al., "Position bias estimation for unbiased learning to rank in personal search", WSDM 2018); here by logistic
regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ranking.clicks.propensity.counts import Counts, Ints
from ranking.clicks.propensity.identify import NotIdentifiedError
from ranking.clicks.sessions import Floats

_NEWTON: Final = 3
_SURE: Final = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Fit:
    """`theta` (ranks,), with theta_1 = 1; `relevance` (pairs,) or the regression's weights (features + 1,)."""

    theta: Floats
    relevance: Floats


@dataclass(frozen=True, slots=True)
class EM:
    """`prior`: how many views of its pair the mean alpha counts for. The search ends after `iterations`, or where no
    theta, and not the mean alpha, moves by more than `tolerance` of itself in one step."""

    prior: float = 0.0
    iterations: int = 300
    tolerance: float = 1e-4

    def fit(self, counts: Counts, start: Fit | None = None) -> Fit:
        """From one cell per (pair, rank). Cells of a weight of 0 do not count."""
        cells = counts.take(counts.shown > 0)
        ranks, pair = counts.ranks, np.unique(cells.pair, return_inverse=True)[1]
        pairs = int(pair.max(initial=-1)) + 1
        seen = np.bincount(pair, cells.shown, pairs)
        theta = start.theta if start else _first(cells, ranks)
        alpha = np.full(pairs, cells.clicks.sum() / (theta[cells.rank] * cells.shown).sum()).clip(1e-6, _SURE)
        for _ in range(self.iterations):
            examined, attracted = _expected(theta[cells.rank], alpha[pair], cells)
            found = np.bincount(pair, attracted, pairs)
            mean = found.sum() / seen.sum()
            old, alpha = alpha, (found + self.prior * mean) / (seen + self.prior)
            before, theta = theta, _examination(examined, cells, ranks, theta)
            if _still(before, theta, old, alpha, self.tolerance):
                break
        return Fit(theta / theta[0], alpha)


@dataclass(frozen=True, slots=True, eq=False)
class RegressionEM:
    """EM with alpha = sigmoid(features @ w + b).

    `features` (pairs, d): by the code of the pair, standardised here. `ridge` is the penalty on the squared weights in
    units of one view. Ranks need no shared pairs where pairs with the same features meet at different ranks; where the
    features give the rank away instead, the fit says so.
    """

    features: Floats
    ridge: float = 1.0
    iterations: int = 300
    tolerance: float = 1e-4
    least: float = 0.01  # share of what is known about theta that must be left when the features are not known

    def fit(self, counts: Counts, start: Fit | None = None) -> Fit:
        """Raises NotIdentifiedError where the features explain the ranks."""
        cells = counts.take(counts.shown > 0)
        ranks = counts.ranks
        codes, pair = np.unique(cells.pair, return_inverse=True)
        x = self._design(codes)
        seen: Floats = np.bincount(pair, cells.shown).astype(np.float64)
        theta = start.theta if start else _first(cells, ranks)
        w = start.relevance if start else np.zeros(x.shape[1])
        alpha = _sigmoid(x @ w)
        for _ in range(self.iterations):
            examined, attracted = _expected(theta[cells.rank], alpha[pair], cells)
            w = self._regress(x, np.bincount(pair, attracted, len(codes)), seen, w)
            old, alpha = alpha, _sigmoid(x @ w)
            before, theta = theta, _examination(examined, cells, ranks, theta)
            if _still(before, theta, old, alpha, self.tolerance):
                break
        if start is None:
            self._check(cells, pair, x, theta, w)
        return Fit(theta / theta[0], w)

    def _design(self, codes: Ints) -> Floats:
        chosen = self.features[codes]
        spread = chosen.std(axis=0)
        scaled = (chosen - chosen.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return np.column_stack([scaled, np.ones(len(codes))])

    def _regress(self, x: Floats, found: npt.NDArray[Any], seen: Floats, w: Floats) -> Floats:
        """A few steps of Newton's method: the next E-step needs no more."""
        penalty = np.full(x.shape[1], self.ridge)
        penalty[-1] = 1e-9
        for _ in range(_NEWTON):
            p = _sigmoid(x @ w)
            slope = x.T @ (found - seen * p) - penalty * w
            curve = (x * (seen * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
            w = w + np.linalg.solve(curve, slope)
        return w

    def _check(self, cells: Counts, pair: Ints, x: Floats, theta: Floats, w: Floats) -> None:
        """The Fisher information on log theta, before and after what the unknown w takes of it (Schur complement)."""
        alpha = _sigmoid(x @ w)[pair]
        mean = np.minimum(theta[cells.rank] * alpha, _SURE)
        weight = cells.shown * mean / (1 - mean)
        known = np.bincount(cells.rank, weight, len(theta))
        scaled = x[pair] * (1 - alpha)[:, None]
        cross = np.zeros((len(theta), x.shape[1]))
        np.add.at(cross, cells.rank, scaled * weight[:, None])
        of_w = (scaled * weight[:, None]).T @ scaled + 1e-9 * np.eye(x.shape[1])
        some = np.flatnonzero(known > 0)[1:]  # theta_1 is known
        left = np.diag(known[some]) - cross[some] @ np.linalg.solve(of_w, cross[some].T)
        left /= np.sqrt(np.outer(known[some], known[some]))
        if len(left) and float(np.linalg.eigvalsh(left)[0]) < self.least:
            raise NotIdentifiedError(
                "No propensities: the features tell at which rank a document was shown, so its clicks could come from "
                "either.",
                "Leave out features such as the old score or rank, or randomise a share of the traffic.",
            )


def _first(cells: Counts, ranks: int) -> Floats:
    """Click rates by rank: where the search begins."""
    shown = np.bincount(cells.rank, cells.shown, ranks)
    rate = np.bincount(cells.rank, cells.clicks, ranks) / np.maximum(shown, 1e-300)
    theta: Floats = np.maximum(rate / max(float(rate.max()), 1e-300), 1e-6)
    return theta


def _expected(theta: Floats, alpha: Floats, cells: Counts) -> tuple[Floats, Floats]:
    """How often each cell was examined, and would have attracted, given its clicks and skips (the E-step)."""
    skips = cells.shown - cells.clicks
    miss = np.maximum(1 - theta * alpha, 1e-12)
    return cells.clicks + skips * theta * (1 - alpha) / miss, cells.clicks + skips * alpha * (1 - theta) / miss


def _examination(examined: Floats, cells: Counts, ranks: int, theta: Floats) -> Floats:
    shown = np.bincount(cells.rank, cells.shown, ranks)
    fresh = np.bincount(cells.rank, examined, ranks)
    moved: Floats = np.divide(fresh, shown, out=theta.copy(), where=shown > 0)
    return np.minimum(moved, _SURE)


def _still(before: Floats, theta: Floats, old: Floats, alpha: Floats, tolerance: float) -> bool:
    """Whether a step moved nothing to speak of. Alphas too: click rates, where it begins, are a saddle for theta."""
    moved = np.abs(theta / theta[0] - before / before[0]) > tolerance * theta / theta[0]
    return not moved.any() and float(np.abs(alpha - old).mean()) <= tolerance * float(alpha.mean())


def _sigmoid(z: Floats) -> Floats:
    value: Floats = 1 / (1 + np.exp(-np.clip(z, -35, 35)))
    return value
