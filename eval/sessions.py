"""Sessions: several rounds of feedback, each on what the ranker itself has shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from eval.collections import CollectionSpec
from eval.episodes import Episode, Grades, by_judgement, click, eligible
from eval.protocol import Negatives, Protocol, Residual
from eval.rankers import Reads
from eval.users import User, generator
from index.types import Ranking
from ranking.clicks.debias import Debiasing, Page, debiased
from ranking.clicks.models.registry import Fitted
from ranking.feedback import NO_FEEDBACK, Feedback

Timings = Mapping[str, float]
Rank = Callable[[Feedback], tuple[Ranking, Timings]]
"""Rank the query of an episode with some feedback; also the milliseconds of each stage."""


@dataclass(frozen=True)
class Answer:
    """One ranking as it is measured: what remains of it, what was removed for this answer alone, and its times."""

    ranking: Ranking
    removed: tuple[str, ...]
    timings_ms: Timings


@dataclass(frozen=True)
class Searcher:
    """Somebody who searches a collection: judges or clicks, as the protocol says."""

    protocol: Protocol
    spec: CollectionSpec
    user: User
    negatives: Negatives
    highest: int
    debiasing: Debiasing = field(default_factory=Debiasing)

    def session(
        self,
        episode: Episode,
        judged: Grades,
        k: int,
        rank: Rank,
        reads: Reads = "protocol",
        crowd: Fitted | None = None,
    ) -> list[Answer]:
        """The answers of rounds 0 (no feedback yet), 1, ...: each after a look at the first unseen documents.

        In each round up to k relevant and k non-relevant documents of the page become feedback, for good; debiased
        clicks give every document that was examined its share. `crowd` is the click model that reads them.
        """
        feedback, seen, pages = dict[str, float](), list[str](), list[Page]()
        answers = []
        for number in range(self.protocol.rounds + 1):
            if reads == "debiased":
                given = debiased(episode.topic, pages, fitted=crowd, options=self.debiasing)
            else:
                given = Feedback.from_grades(feedback) if feedback else NO_FEEDBACK
            ranking, timings = rank(given)
            gone = seen if self.protocol.residual == "seen" else []
            residual = Residual.of(self.protocol, [*episode.removed, *gone])
            answers.append(Answer(residual.ranking(ranking).head(self.protocol.keep), tuple(gone), timings))
            known = {*seen, *episode.removed}
            page = [doc for doc in eligible(ranking.ids, self.protocol) if doc not in known][: self.protocol.page]
            relevant, refused = self._react(episode, judged, page, number, reads)
            if reads == "debiased":
                scores = ranking.scores_by_id()
                pages.append(Page(tuple(page), frozenset(relevant), tuple(scores[doc] for doc in page)))
            feedback |= {**dict.fromkeys(refused[:k], 0.0), **dict.fromkeys(relevant[:k], 1.0)}
            seen = [*seen, *page]
        return answers

    def _react(
        self, episode: Episode, judged: Grades, page: list[str], number: int, reads: Reads
    ) -> tuple[list[str], list[str]]:
        if reads == "judgements" or (reads == "protocol" and self.protocol.feedback == "judged"):
            return by_judgement(page, judged, self.spec, self.negatives, fill_from=0)
        clicked, skipped = click(
            page, judged, self.user, self.highest, generator(self.protocol.user_seed, episode.topic, number)
        )
        return clicked, skipped if self.protocol.skipped == "not-relevant" else []
