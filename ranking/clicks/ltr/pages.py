"""Result pages as tensors, in batches that keep the pages of a query together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking.clicks.sessions import Codes, Floats, Sessions


@dataclass(frozen=True, eq=False)
class Pages:
    """n pages of r ranks, and p pairs that they show.

    `rows` (p,) are rows of the features, `pair` (n, r) places in `rows` (0 where nothing is shown), `shown` (n, r)
    bool, `clicks` (n, r) 0 or 1, `weight` (n, r) how much each impression counts, 0 where nothing is shown,
    `surface` (n,).
    """

    rows: Tensor
    pair: Tensor
    shown: Tensor
    clicks: Tensor
    weight: Tensor
    surface: Tensor

    @classmethod
    def of(cls, sessions: Sessions, weight: Floats | None = None) -> Pages:
        """All pages as one batch. `weight` (n, r) multiplies the weights of the pages."""
        shown = sessions.shown
        rows, pair = distinct(sessions.pair)
        each = sessions.weight[:, None] * shown * (1.0 if weight is None else weight)
        return cls(
            torch.from_numpy(rows),
            torch.from_numpy(pair),
            torch.from_numpy(shown),
            torch.from_numpy(sessions.clicks.astype(np.float32)),
            torch.from_numpy(each.astype(np.float32)),
            torch.from_numpy(sessions.surface.astype(np.int64)),
        )

    def __len__(self) -> int:
        return len(self.pair)

    @property
    def ranks(self) -> int:
        return int(self.pair.shape[1])

    @property
    def total(self) -> Tensor:
        """How many pages these count for: the weight of the heaviest impression of each, added up."""
        return self.weight.amax(dim=1).sum().clamp(min=1e-12)

    def spread(self, scores: Tensor) -> Tensor:
        """Scores of the pairs, (p,), at the ranks of the pages, (n, r)."""
        return scores[self.pair]

    def pooled(self, values: Tensor) -> Tensor:
        """Each pair's weighted mean of values at the ranks, (n, r), in the place of each of them."""
        total = torch.zeros(len(self.rows)).index_add(0, self.pair.flatten(), (values * self.weight).flatten())
        count = torch.zeros(len(self.rows)).index_add(0, self.pair.flatten(), self.weight.flatten())
        return (total / count.clamp(min=1e-12))[self.pair]


def distinct(pair: Codes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The pairs that pages show, (p,) ascending, and for each slot its place among them, 0 where nothing is shown."""
    most = int(pair.max(initial=-1)) + 1
    if most <= 4 * pair.size:  # a table of all pairs is quicker than sorting
        seen = np.zeros(most + 1, dtype=np.bool_)
        seen[pair] = True  # -1 falls on the last
        rows = np.flatnonzero(seen[:most])
        place = np.zeros(most + 1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        return rows, place[pair]
    rows, where = np.unique(pair, return_inverse=True)
    hidden = int(len(rows) > 0 and rows[0] < 0)
    return rows[hidden:].astype(np.int64), np.maximum(where.reshape(pair.shape) - hidden, 0)


def batches(sessions: Sessions, weight: Floats | None, size: int, random: np.random.Generator) -> Iterator[Pages]:
    """Batches of at most `size` pages, the queries in random order.

    The pages of a query stand together, so a batch scores each of its few pairs once, however often they were shown.
    """
    drawn = random.permutation(int(sessions.query.max(initial=0)) + 1)[sessions.query]
    order = np.lexsort((random.random(len(sessions)), drawn))
    # Equal parts: a small last batch would take a step as long as the others on little evidence.
    for part in np.array_split(order, max(1, -(-len(order) // size))):
        yield Pages.of(sessions.take(part), None if weight is None else weight[part])


def split_queries(sessions: Sessions, share: float, random: np.random.Generator) -> tuple[Sessions, Sessions]:
    """Pages for training, and those of a share of the queries: a query is on one side only.

    With a share of 0 none are held out; else, with fewer than two queries, both are all the pages.
    """
    if share <= 0:
        return sessions, sessions.take(np.zeros(len(sessions), dtype=np.bool_))
    queries = np.unique(sessions.query)
    if len(queries) < 2:
        return sessions, sessions
    count = min(len(queries) - 1, max(1, round(share * len(queries))))
    held = np.isin(sessions.query, random.permutation(queries)[:count])
    return sessions.take(~held), sessions.take(held)


def inverse_rank_frequency(sessions: Sessions, most: float = 10.0) -> Floats:
    """Weights (n, r) of impressions as if each pair had been shown at each of its ranks equally often; mean 1.

    The logging policy's preference for a document decides at which rank it is seen; one over its frequency there takes
    that out (Hager, Zoeter, de Rijke, "Unidentified and confounded? Understanding two-tower models for unbiased
    learning to rank", ICTIR 2025). A weight is at most `most` times the least of its pair.
    """
    ranks, shown = sessions.ranks, sessions.shown
    slot = sessions.pair.astype(np.int64) * ranks + np.arange(ranks)
    _, code, count = np.unique(slot[shown], return_inverse=True, return_counts=True)
    _, pair = np.unique(sessions.pair[shown], return_inverse=True)
    weight = 1.0 / count[code]
    least = np.full(pair.max(initial=0) + 1, np.inf)
    np.minimum.at(least, pair, weight)
    weight = np.minimum(weight, most * least[pair])
    # Each pair keeps its number of impressions: only its ranks are evened out.
    impressions = np.bincount(pair)
    weight *= (impressions / np.bincount(pair, weight))[pair]
    spread = np.zeros(shown.shape)
    spread[shown] = weight
    return spread
