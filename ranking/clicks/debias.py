"""From the clicks of one search to feedback that can be trusted.

What a searcher did with the pages of one query becomes, for every document, the probability that it is relevant and
how much of that somebody has told us. A click is worth what it says: people click on what is not relevant too, the
more so near the top. A document that was looked at and left alone is probably not relevant; one further down may not
have been seen at all, and says nothing. Where a click model was fitted to a log, what other searchers did with the same
documents for the same query counts too. Everything here is a pure function of plain values: the service and the
evaluation call the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.pbm import PositionBased
from ranking.clicks.models.registry import Fitted
from ranking.clicks.models.trust import TrustBias
from ranking.clicks.sessions import Flags, Floats, Sessions, Vocabulary
from ranking.feedback import NO_FEEDBACK, Feedback
from ranking.options import number

PUBLISHED_CURVE: Final = (1.0, 0.674, 0.414, 0.293, 0.208, 0.171, 0.136, 0.117, 0.084, 0.058)
"""How likely ranks 1 to 10 are examined, relative to the first, in a large web search: intervention harvesting (all
pairs) on three parts of Baidu-ULTR, as published with Hager et al., "Unbiased learning to rank meets reality: lessons
from Baidu's large-scale search dataset" (SIGIR 2024)."""

_UNKNOWN: Final = np.iinfo(np.int32).max  # the code of a pair that no log has shown
_STEEPEST: Final = 3.0  # standard deviations of a score that still count


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it was shown: its documents from the top, which of them were clicked, the ranker's own scores where
    they are known, how long clicked documents were read, in milliseconds, and which documents the searcher read on
    another page of the same search. A page that the searcher asked for by going on to it counts from its own top."""

    documents: tuple[str, ...]
    clicked: frozenset[str] = frozenset()
    scores: tuple[float, ...] | None = None
    dwell_ms: Mapping[str, int] = field(default_factory=dict)
    read: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judgements:
    """What the searcher said in so many words: document -> relevance in [0, 1], and weights where they are not 1."""

    relevance: Mapping[str, float] = field(default_factory=dict)
    weight: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Debiasing:
    """How clicks are read.

    prior: where the belief before any click comes from: the ranker's `scores`, or `flat`, the same for all.
    relevant: how likely a document of a middling score is relevant; slope: the log-odds that one standard deviation of
        the page's scores adds.
    hit: P(click | examined and relevant). noise: P(click | examined and not relevant); `trust` / rank is added to it.
    glance_ms: a document that was left sooner than that counts as half a click; 0 takes no notice of time.
    click_weight, skip_weight: how much a click, and a document surely looked at and left alone, count beside a
        judgement. least: what has less weight is left out.
    others: how many examinations by other searchers, of a fitted model, count at most.
    """

    prior: Literal["scores", "flat"] = "scores"
    relevant: float = number(0.15, low=0.001, high=0.999)
    slope: float = number(0.5, low=0.0)
    hit: float = number(0.6, low=0.001, high=0.999)
    noise: float = number(0.1, low=0.001, high=0.999)
    trust: float = number(0.0, low=0.0, high=0.999)
    glance_ms: float = number(1000.0, low=0.0)
    click_weight: float = number(1.0, low=0.0)
    skip_weight: float = number(1.0, low=0.0)
    least: float = number(0.05, low=0.0)
    others: float = number(20.0, low=0.0)

    def noise_at(self, ranks: int) -> Floats:
        """P(click | examined, not relevant) at each rank, shape (ranks,): below `hit`, so that a click always helps."""
        noise = self.noise + self.trust / np.arange(1.0, ranks + 1.0)
        return np.minimum(noise, 0.95 * self.hit)


@cache
def published() -> Fitted:
    """The model for want of a fitted one: it knows the published curve, and no document."""
    return Fitted(PositionBased.of_curve(PUBLISHED_CURVE, 1.0, 3.0), Vocabulary(), {"source": "published curve"})


def debiased(
    query: str,
    pages: Sequence[Page],
    judgements: Judgements = Judgements(),
    fitted: Fitted | None = None,
    options: Debiasing = Debiasing(),
) -> Feedback:
    """What the pages of one query, oldest first, say about their documents. `fitted` reads the clicks; the published
    curve where it is None. A judgement overrides whatever clicks say about its document."""
    known = fitted or published()
    beliefs: dict[str, _Belief] = {}
    for page in pages:
        if page.documents:
            _read(page, query, known, options, beliefs)
    told = {doc: belief for doc, belief in beliefs.items() if belief.weight >= options.least}
    grades = {doc: (belief.relevance, belief.weight) for doc, belief in told.items()}
    grades |= {doc: (value, judgements.weight.get(doc, 1.0)) for doc, value in judgements.relevance.items()}
    if not grades:
        return NO_FEEDBACK
    relevance, weight = zip(*grades.values(), strict=True)
    return Feedback.of(grades, relevance, weight)


@dataclass(slots=True)
class _Belief:
    """What is believed of one document: the log-odds that it is relevant, and how much of them somebody has told."""

    log_odds: float
    untold: float = 1.0
    clicked: bool = False

    @property
    def relevance(self) -> float:
        return float(1.0 / (1.0 + np.exp(-self.log_odds)))

    @property
    def weight(self) -> float:
        return 1.0 - self.untold


def _read(page: Page, query: str, known: Fitted, options: Debiasing, beliefs: dict[str, _Belief]) -> None:
    """Let one page add to the beliefs."""
    codes = np.array([known.vocabulary.find(query, doc) for doc in page.documents], dtype=np.int64)
    codes = np.where(codes < 0, _UNKNOWN, codes)
    clicks = np.array([doc in page.clicked for doc in page.documents])
    told, weight = _told(page, codes, clicks, known, options)
    prior = _prior(page, options)
    for place, doc in enumerate(page.documents):
        belief = beliefs.get(doc)
        if belief is None:
            belief = beliefs[doc] = _Belief(float(prior[place]))
            others, heard = _others(codes[place], known, options)
            belief.log_odds += others
            belief.untold *= 1.0 - heard
        if (belief.clicked or doc in page.read) and not clicks[place]:
            continue  # who has read a document does not click on it again
        belief.log_odds += float(told[place])
        belief.untold *= 1.0 - float(weight[place])
        belief.clicked |= bool(clicks[place])


def _told(
    page: Page, codes: npt.NDArray[np.int64], clicks: Flags, known: Fitted, options: Debiasing
) -> tuple[Floats, Floats]:
    """The log-odds that this page adds for each of its n documents, and how much weight: both of shape (n,).

    Given that it was examined, a skip speaks against relevance; how likely it was examined, the click model says from
    all the clicks of the page, its own prior on the document taken out again.
    """
    sessions = Sessions.of(codes[None, :], clicks[None, :])
    examined = np.nan_to_num(known.model.posterior(sessions).examined[0])
    attraction = np.minimum(known.model.relevance(codes), 0.99)
    noise = options.noise_at(len(codes))
    if isinstance(known.model, TrustBias):
        noise = np.clip(known.model.trust_at(len(codes)), noise, 0.95 * options.hit)
    looked = examined / (1.0 - attraction)
    skipped = np.log(looked * (1.0 - options.hit) + 1.0 - examined) - np.log(looked * (1.0 - noise) + 1.0 - examined)
    glanced = np.array([page.dwell_ms.get(doc, options.glance_ms) < options.glance_ms for doc in page.documents])
    share = np.where(glanced, 0.5, 1.0)
    told = np.where(clicks, share * np.log(options.hit / noise), skipped)
    weight = np.where(clicks, share * options.click_weight, examined * options.skip_weight)
    return told, np.minimum(weight, 1.0)


def _prior(page: Page, options: Debiasing) -> Floats:
    """The log-odds of relevance before any click, shape (n,)."""
    middle = np.full(len(page.documents), np.log(options.relevant / (1.0 - options.relevant)))
    if options.prior == "flat" or page.scores is None or len(page.scores) < 2:
        return middle
    scores = np.asarray(page.scores, dtype=np.float64)
    spread = scores.std()
    if not spread > 0 or not np.isfinite(spread):
        return middle
    moved: Floats = middle + options.slope * np.clip((scores - scores.mean()) / spread, -_STEEPEST, _STEEPEST)
    return moved


def _others(code: np.int64, known: Fitted, options: Debiasing) -> tuple[float, float]:
    """What the searchers of the log say of a document: log-odds, and their weight."""
    clicks, skips = (float(values[0]) for values in known.model.evidence(np.array([code])))
    looks = clicks + skips
    if not looks > 0 or not options.others:
        return 0.0, 0.0
    share = min(1.0, options.others / looks)
    noise = min(options.noise, 0.95 * options.hit)
    odds = clicks * np.log(options.hit / noise) + skips * np.log((1.0 - options.hit) / (1.0 - noise))
    return share * float(odds), share * looks / (share * looks + 2.0)
