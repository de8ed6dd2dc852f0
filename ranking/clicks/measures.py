"""How well a click model foresees clicks that it has not seen.

Pages end where they end: a rank is measured on the pages that reach it, and is left out where none does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ranking.clicks.models.base import TINY, ClickModel
from ranking.clicks.models.sums import added
from ranking.clicks.sessions import Floats, Sessions


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a model makes of n pages.

    log_likelihood: of the clicks given those above, natural logarithm per impression.
    perplexity: 2^(-mean log2 P(click or no click)) not knowing other clicks, averaged over ranks; 1 is perfect, 2 is a
        coin. conditional_perplexity: the same knowing the clicks above.
    by_rank, conditional_by_rank: of each rank, shape (r,), NaN where no page reaches it.
    pages, queries, clicks, impressions: on how many it rests. Without pages the figures are NaN.
    """

    log_likelihood: float
    perplexity: float
    conditional_perplexity: float
    by_rank: Floats
    conditional_by_rank: Floats
    pages: float
    queries: int
    clicks: float
    impressions: float


def foresight(model: ClickModel, batches: Iterable[Sessions]) -> Foresight:
    """Measure a model on pages, a batch at a time. Perplexity: Dupret and Piwowarski (SIGIR 2008)."""
    shown, marginal, conditional = np.zeros(0), np.zeros(0), np.zeros(0)
    pages, clicks = 0.0, 0.0
    queries: set[int] = set()
    for sessions in batches:
        weight = sessions.shown * sessions.weight[:, None]
        shown = added(shown, weight.sum(axis=0))
        marginal = added(marginal, _logs(model.click_probabilities(sessions), sessions, weight))
        conditional = added(conditional, _logs(model.conditional_probabilities(sessions), sessions, weight))
        pages += float(sessions.weight.sum())
        clicks += float((sessions.clicks * weight).sum())
        queries.update(sessions.query.tolist())
    by_rank, conditional_by_rank = (_perplexity(logs, shown) for logs in (marginal, conditional))
    total = float(shown.sum())
    return Foresight(
        float(conditional.sum()) / total if total else math.nan,
        _mean(by_rank),
        _mean(conditional_by_rank),
        by_rank,
        conditional_by_rank,
        pages,
        len(queries),
        clicks,
        total,
    )


def _logs(chances: Floats, sessions: Sessions, weight: Floats) -> Floats:
    """The logarithms of the probabilities of what was done, summed by rank: shape (r,)."""
    likely = np.where(sessions.clicks, chances, 1.0 - chances)
    logs: Floats = (np.log(np.clip(np.where(sessions.shown, likely, 1.0), TINY, None)) * weight).sum(axis=0)
    return logs


def _perplexity(logs: Floats, shown: Floats) -> Floats:
    return np.where(shown > 0, np.exp(-logs / np.maximum(shown, 1e-300)), np.nan)


def _mean(by_rank: Floats) -> float:
    reached = by_rank[~np.isnan(by_rank)]
    return float(reached.mean()) if len(reached) else math.nan
