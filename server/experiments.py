"""Experiments on a share of the traffic: pages that explore, pages that two pipelines share, sessions split among two.

Only the first page of a new question takes part, and only where nobody has given feedback with it: what a searcher
judged is never put at risk. A session stays on its side; one that explores is never in a duel, and the others are the
sessions that are split.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from index.errors import InputError, NotFoundError
from index.types import Ranking
from ranking.clicks.exploration import generator, parse_policy, reordered, share_of
from ranking.clicks.interleaving import Duel
from ranking.clicks.splits import SIDES, Side, Split
from server.schemas import SearchRequest
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class Trial:
    """A ranking as an experiment made it, with what the impression records of it: the `arm`, the probability of each
    document shown (`propensities`), or what a click on each counts in a duel (`credits`)."""

    ranking: Ranking
    arm: str | None = None
    propensities: tuple[float, ...] | None = None
    credits: tuple[float, ...] | None = None


class Experiments:
    """What the settings `exploration`, `interleaving` and `split` ask for."""

    def __init__(self, settings: Settings, pipelines: Collection[str]) -> None:
        """Raises NotFoundError for a duel or a split of a pipeline that is not among `pipelines`, InputError for shares
        whose sum is above 1."""
        self._policy = parse_policy(settings.exploration) if settings.exploration else None
        self._duel = None
        if settings.interleaving:
            first, second = _named(settings.interleaving, pipelines, "interleaving")
            self._duel = Duel(settings.interleaving_method, first, second)
        self._split = _named(settings.split, pipelines, "split") if settings.split else None
        self._second = settings.split_share
        self._dueling = settings.interleaving_share if self._duel else 0.0
        self._exploring = settings.exploration_share if self._policy else 0.0
        if self._dueling + self._exploring > 1:
            raise InputError(
                "The shares of exploration and interleaving are more than all traffic together.",
                "Lower exploration_share or interleaving_share.",
            )

    def duel(self, ask: SearchRequest, query_id: str, works: Collection[str]) -> Duel | None:
        """The duel that a new question takes part in; `works` are the pipelines that its index has."""
        if self._duel is None or ask.pipeline is not None or not eligible(ask):
            return None
        if self._duel.first not in works or self._duel.second not in works:
            return None
        return self._duel if _place(ask, query_id) < self._dueling else None

    def split(self, ask: SearchRequest, query_id: str, works: Collection[str]) -> tuple[str, str] | None:
        """The pipeline that a new question's session has in the split, and its arm; None where it takes no part."""
        if self._split is None or ask.pipeline is not None or not eligible(ask):
            return None
        if not set(self._split) <= set(works) or _place(ask, query_id) < self._dueling + self._exploring:
            return None
        side: Side = "second" if share_of(whose(ask, query_id), "split") < self._second else "first"
        chosen = self._split[SIDES.index(side)]
        return chosen, Split(":".join(self._split), side).arm

    def fought(self, duel: Duel, first: Ranking, second: Ranking, limit: int, query_id: str) -> Trial:
        """The rankings of both as one: the page that they share, and below it the rest of the first.

        Scores of two pipelines do not compare, so those of the result are 1 / rank.
        """
        page = duel.interleave(first.ids, second.ids, limit, generator("interleaving", query_id))
        shown = set(page.documents)
        ids = [*page.documents, *(document for document in first.ids if document not in shown)]
        return Trial(Ranking(ids, 1.0 / np.arange(1, len(ids) + 1)), duel.arm, credits=page.scores)

    def explored(self, ask: SearchRequest, query_id: str, ranking: Ranking) -> Trial:
        """The ranking, with documents of the first page exchanged if it is this session's turn.

        Scores stay at their places.
        """
        place = _place(ask, query_id)
        if self._policy is None or not eligible(ask) or not self._dueling <= place < self._dueling + self._exploring:
            return Trial(ranking)
        page = self._policy.explore(min(ask.limit, len(ranking)), query_id)
        if not page.arm:
            return Trial(ranking)
        return Trial(Ranking(reordered(ranking.ids, page.order), ranking.scores), page.arm, page.propensities)


def _named(pair: str, pipelines: Collection[str], setting: str) -> tuple[str, str]:
    """The two pipelines of a setting. Raises NotFoundError for one that there is not."""
    first, _, second = pair.partition(":")
    for name in (first, second):
        if name not in pipelines:
            raise NotFoundError(
                f"There is no pipeline {name!r} for {setting}.",
                f"Mend the setting {setting}. Valid: {', '.join(pipelines)}.",
            )
    return first, second


def whose(ask: SearchRequest, query_id: str) -> str:
    """Who stays on one side: the session where it is known, else the user, else the query."""
    return ask.session_id or ask.user_id or query_id


def eligible(ask: SearchRequest) -> bool:
    """Whether the page of a request takes part in experiments."""
    return ask.query_id is None and ask.offset == 0 and not ask.feedback


def _place(ask: SearchRequest, query_id: str) -> float:
    return share_of(whose(ask, query_id), "experiments")
