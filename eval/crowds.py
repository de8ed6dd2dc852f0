"""Those who searched before: the pages that they were shown, what they clicked, and the click model fitted to it.

A searcher's own clicks are few. What others clicked for the same query is what a click log is kept for, so sessions may
begin with a log, and an index may learn from one: each earlier searcher saw the first pages of the ranker without any
feedback, a little shuffled as an exploring server shuffles them, and clicked as the experiment's user does. Some
went on to the next page and some did not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from eval.episodes import Grades
from eval.protocol import Protocol
from eval.users import User, gains_of, generator
from ranking.clicks.debias import Page
from ranking.clicks.models.registry import Fitted, new
from ranking.clicks.sessions import Sessions, Vocabulary

SHUFFLED: Final = 3.0  # ranks: the standard deviation by which a page's documents stray
HELD_OUT: Final = 10  # one page in so many says when the fit stops


def looks(
    shown: Mapping[str, Sequence[str]],
    judged: Mapping[str, Grades],
    user: User,
    highest: int,
    protocol: Protocol,
    pages: int,
) -> Iterator[tuple[str, Page]]:
    """Topic and page: what the protocol's searchers were shown on so many `pages` at most, and clicked.

    `shown` are the documents by topic in the order of the ranker, as many as can be shown (`most_shown`).
    """
    page = protocol.page
    for topic, documents in shown.items():
        leaving = generator(protocol.user_seed, topic, "going on").random((protocol.searchers, pages - 1))
        seen = 1 + np.cumprod(leaving < protocol.going_on, axis=1).sum(axis=1)
        random = generator(protocol.user_seed, topic, "earlier searchers")
        gains = gains_of(np.array([judged[topic].get(doc, 0) for doc in documents], dtype=np.int64), highest)
        for count in seen.tolist():
            order = np.argsort(np.arange(len(documents)) + random.normal(0.0, SHUFFLED, len(documents)))
            for start in range(0, min(page * count, len(documents)), page):
                here = order[start : start + page]
                names, hits = [documents[place] for place in here], user.clicks(gains[here], random)
                yield topic, Page(tuple(names), frozenset(doc for doc, hit in zip(names, hits, strict=True) if hit))


def most_shown(protocol: Protocol, pages: int) -> int:
    """How many documents may come onto so many pages, which are shuffled."""
    return 2 * protocol.page * pages


def crowd(model: str, pages: Iterable[tuple[str, Page]], size: int) -> Fitted:
    """The click model of this name, fitted to topics' pages of at most `size` documents."""
    vocabulary = Vocabulary()
    pairs, clicks, queries = list[np.ndarray](), list[np.ndarray](), list[int]()
    for topic, page in pages:
        row, hit = np.full(size, -1, dtype=np.int32), np.zeros(size, dtype=np.bool_)
        row[: len(page.documents)] = [vocabulary.pair(topic, doc) for doc in page.documents]
        hit[: len(page.documents)] = [doc in page.clicked for doc in page.documents]
        pairs.append(row)
        clicks.append(hit)
        queries.append(vocabulary.query(topic))
    made = new(model)
    if pairs:
        log = Sessions.of(np.stack(pairs), np.stack(clicks), queries)
        held = np.arange(len(log)) % HELD_OUT == 0
        made.fit(lambda: [log.take(~held)], validation=lambda: [log.take(held)])
    return Fitted(made, vocabulary)
