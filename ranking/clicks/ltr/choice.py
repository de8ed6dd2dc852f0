"""Is a debiased ranker better than a naive one? Asked of traffic whose pages were shuffled.

On real logs naive listwise training often wins, and nothing that is measured on the logged policy's own pages can tell.
Where pages are shown in random order, each document has the same chances at each rank, so clicks rank documents by
relevance whatever the position bias, and without a model of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Generic

import numpy as np

from index.errors import InputError
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.checkpoints import Epoch
from ranking.clicks.ltr.features import Single
from ranking.clicks.ltr.fit import Fitted, Made, Maker, Recipe, features_scorer, fit_scorer
from ranking.clicks.ltr.measures import discounts
from ranking.clicks.ltr.objectives.registry import NAIVE
from ranking.clicks.ltr.scorers import FeatureScorer
from ranking.clicks.sessions import Floats, Sessions

_EXACT: Final = 14  # up to so many queries, all patterns of signs are tried
_STILL: Final = 0.5  # the least share of documents seen twice that must have been at two ranks


@dataclass(frozen=True)
class Verdict:
    """What shuffled traffic says about two rankers.

    `naive` and `debiased` are their shares of the clicks that they put where they count (a DCG, 1 at best), `low` and
    `high` bound the difference with confidence 1 - `level`, by a bootstrap over queries; `p` is of the paired sign-flip
    test over queries, two-sided. `switch`: the debiased one is better, and not by chance. `reason` says it in words.
    """

    naive: float
    debiased: float
    low: float
    high: float
    p: float
    level: float
    queries: int
    pages: int
    switch: bool
    reason: str

    @property
    def difference(self) -> float:
        return self.debiased - self.naive

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"difference": self.difference}


def compare(
    traffic: Sessions,
    naive: Floats,
    debiased: Floats,
    *,
    level: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> Verdict:
    """Two rankers, as the scores of the rows, on pages in random order.

    The unit is the query: all pages of one stand or fall together. Raises InputError where the pages have no click, or
    their order is not random.
    """
    check_shuffled(traffic)
    clicks = traffic.clicks * traffic.weight[:, None]
    total = float(clicks.sum())
    if total <= 0:
        raise InputError("The shuffled pages have no click.", "Give more of them.")
    queries, code = np.unique(traffic.query, return_inverse=True)

    def by_query(scores: Floats) -> Floats:
        found = (clicks * discounts(traffic, scores)).sum(axis=1) / total
        return np.asarray(np.bincount(code, found, minlength=len(queries)), dtype=np.float64)

    old, new = by_query(naive), by_query(debiased)
    random = np.random.default_rng(seed)
    p = sign_flips(new - old, resamples, random)
    draws = random.integers(len(queries), size=(min(resamples, 2000), len(queries)))
    # A resample of queries has another number of clicks, so both sums are taken anew.
    weight = np.bincount(code, clicks.sum(axis=1), minlength=len(queries))
    differences = (new - old)[draws].sum(axis=1) * total / np.maximum(weight[draws].sum(axis=1), 1e-12)
    low, high = np.quantile(differences, [level / 2, 1 - level / 2])
    mean = float((new - old).sum())
    switch = mean > 0 and p < level
    if switch:
        reason = f"Debiasing wins on shuffled traffic (p = {p:.3g})."
    elif mean > 0:
        reason = f"Debiasing is better on shuffled traffic, but that may be chance (p = {p:.3g})."
    else:
        reason = "Debiasing is no better on shuffled traffic."
    return Verdict(
        float(old.sum()),
        float(new.sum()),
        float(low),
        float(high),
        p,
        level,
        len(queries),
        len(traffic),
        switch,
        reason,
    )


def sign_flips(differences: Floats, resamples: int, random: np.random.Generator) -> float:
    """Fisher's randomisation test of paired differences, two-sided: 1 where nothing differs, never 0."""
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    observed = abs(float(moved.sum())) * (1.0 - 1e-12)  # sums in another order may round differently
    if len(moved) <= _EXACT:
        signs = 2.0 * (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1) - 1.0
        return float((np.abs(signs @ moved) >= observed).mean())
    hits, portion = 0, max(1, 1_000_000 // len(moved))
    for start in range(0, resamples, portion):
        size = min(portion, resamples - start)
        signs = random.integers(0, 2, (size, len(moved)), dtype=np.int8) * 2.0 - 1.0
        hits += int((np.abs(signs @ moved) >= observed).sum())
    return (hits + 1.0) / (resamples + 1.0)


def check_shuffled(traffic: Sessions) -> None:
    """Raises InputError where documents stand at the same rank each time, so that nothing was shuffled."""
    shown = traffic.shown
    pair, rank = traffic.pair[shown], np.broadcast_to(np.arange(traffic.ranks), shown.shape)[shown]
    _, code, times = np.unique(pair, return_inverse=True, return_counts=True)
    least, most = np.full(len(times), traffic.ranks), np.full(len(times), -1)
    np.minimum.at(least, code, rank)
    np.maximum.at(most, code, rank)
    again = times > 1
    if again.any() and float((most > least)[again].mean()) < _STILL:
        raise InputError(
            "The pages for the comparison are not shuffled: most documents stand at the same rank each time.",
            "Name an arm that shows its pages in random order; if only its first ranks are, --shuffled-ranks says so.",
        )


@dataclass(frozen=True, eq=False)
class Chosen(Generic[Made]):
    """Both rankers, what shuffled traffic says about them (None without any), and the one to use."""

    naive: Fitted[Made]
    debiased: Fitted[Made]
    verdict: Verdict | None

    @property
    def fitted(self) -> Fitted[Made]:
        return self.debiased if self.verdict is not None and self.verdict.switch else self.naive


def choose(
    matrix: Single,
    sessions: Sessions,
    recipe: Recipe,
    traffic: Sessions | None,
    bias: Bias | None = None,
    *,
    level: float = 0.05,
    home: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Chosen[FeatureScorer]:
    """`choose_scorer` of networks over features."""
    make = features_scorer(matrix, recipe)
    return choose_scorer(make, len(matrix), sessions, recipe, traffic, bias, level=level, home=home, on_epoch=on_epoch)


def choose_scorer(
    make: Maker[Made],
    rows: int,
    sessions: Sessions,
    recipe: Recipe,
    traffic: Sessions | None,
    bias: Bias | None = None,
    *,
    level: float = 0.05,
    home: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Chosen[Made]:
    """Train naively and by the recipe's objective, and take the latter only if it wins on shuffled traffic.

    `traffic` are pages in random order that neither is trained on. Without them, or without a significant win, the
    naive ranker stays. Raises what `fit_scorer` and `compare` raise.
    """
    if traffic is not None:
        check_shuffled(traffic)  # before the time is spent
    plain = replace(recipe, objective=NAIVE, frozen=False, evened=False)
    own = None if home is None else home / recipe.objective
    naive = fit_scorer(make, rows, sessions, plain, home=None if home is None else home / NAIVE, on_epoch=on_epoch)
    debiased = fit_scorer(make, rows, sessions, recipe, bias, home=own, on_epoch=on_epoch)
    if traffic is None:
        return Chosen(naive, debiased, None)
    verdict = compare(traffic, naive.scores, debiased.scores, level=level, seed=recipe.options.seed)
    return Chosen(naive, debiased, verdict)
