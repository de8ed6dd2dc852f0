"""Generated corpora, and indexes of them: whole and in shards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from index.index import Index
from index.lexical import LexicalQuery
from index.types import Document, Ranking

WORDS = [f"word{number}" for number in range(400)]


def generated(count: int, seed: int = 0) -> list[Document]:
    """Documents of words with Zipf's frequencies, some of them copies of others, so that scores tie."""
    random = np.random.default_rng(seed)
    chance = 1.0 / np.arange(1, len(WORDS) + 1)
    chance /= chance.sum()
    documents: list[Document] = []
    for number in range(count):
        if documents and random.random() < 0.15:
            copied = documents[int(random.integers(len(documents)))]
            title, text = copied.title, copied.text
        else:
            title = " ".join(random.choice(WORDS, int(random.integers(0, 5)), p=chance))
            text = " ".join(random.choice(WORDS, int(random.integers(1, 40)), p=chance))
        fields = {"group": f"g{number % 3}", "year": 1990 + number % 30}
        documents.append(Document(f"doc-{number * 7919 % 100_003:06d}", title, text, fields))
    return documents


def queries(count: int, seed: int = 1) -> list[str]:
    """Texts of one word to six."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS[:150], int(random.integers(1, 7)))) for _ in range(count)]


def same(whole: Index, sharded: Index, asked: Sequence[LexicalQuery], limits: Sequence[int]) -> list[Ranking]:
    """The rankings of one index, after checking that the other gives the same documents with equal scores."""
    rankings = []
    for query in asked:
        for limit in limits:
            view = sharded.view()
            expected, found = whole.view().lexical.search(query, limit), view.lexical.search(query, limit)
            assert view.degraded is None
            assert found == expected, (query, limit)
            rankings.append(found)
    return rankings
