"""Those who searched before: a simulated click log of the topics, and the click model that is fitted to it.

A searcher's own clicks are few. What others clicked for the same query is what a click log is kept for, so sessions may
begin with a log: each earlier searcher saw the first pages of the ranker without any feedback, a little shuffled as an
exploring server shuffles them, and clicked as the experiment's user does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from eval.episodes import Grades
from eval.users import User, gains_of, generator
from ranking.clicks.models.registry import Fitted, new
from ranking.clicks.sessions import Sessions, Vocabulary

SHUFFLED: Final = 3.0  # ranks: the standard deviation by which a page's documents stray
HELD_OUT: Final = 10  # one page in so many says when the fit stops


def crowd(
    model: str,
    shown: Mapping[str, Sequence[str]],
    judged: Mapping[str, Grades],
    user: User,
    highest: int,
    *,
    searchers: int,
    page: int,
    rounds: int,
    seed: int,
) -> Fitted:
    """The model of this name, fitted to the clicks of so many searchers per topic on the first `rounds` pages.

    `shown` are the documents by topic in the order of the ranker, as many as can be shown.
    """
    vocabulary = Vocabulary()
    pages, clicks, queries = list[np.ndarray](), list[np.ndarray](), list[int]()
    for topic, documents in shown.items():
        if not documents:
            continue
        random = generator(seed, topic, "earlier searchers")
        codes = np.array([vocabulary.pair(topic, doc) for doc in documents], dtype=np.int32)
        gains = gains_of(np.array([judged[topic].get(doc, 0) for doc in documents], dtype=np.int64), highest)
        for _ in range(searchers):
            order = np.argsort(np.arange(len(codes)) + random.normal(0.0, SHUFFLED, len(codes)))
            for start in range(0, min(page * rounds, len(codes)), page):
                here = order[start : start + page]
                row, hit = np.full(page, -1, dtype=np.int32), np.zeros(page, dtype=np.bool_)
                row[: len(here)], hit[: len(here)] = codes[here], user.clicks(gains[here], random)
                pages.append(row)
                clicks.append(hit)
                queries.append(vocabulary.query(topic))
    made = new(model)
    if pages:
        log = Sessions.of(np.stack(pages), np.stack(clicks), queries)
        held = np.arange(len(log)) % HELD_OUT == 0
        made.fit(lambda: [log.take(~held)], validation=lambda: [log.take(held)])
    return Fitted(made, vocabulary)
