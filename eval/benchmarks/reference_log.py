"""A click log whose truth is known: made of arrays, or written to Parquet in a stream, however large.

1,000 queries, asked by Zipf's law, of 20 documents; pages of ten that a noisy ranker drew by Plackett-Luce, so that
every document is seen at several ranks; clicks by a position-based, a browsing and a dynamic Bayesian user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ranking.clicks.sessions import Floats, Sessions

QUERIES, DOCUMENTS, RANKS = 1000, 20, 10
PAIRS: Final = QUERIES * DOCUMENTS
CONTINUATION: Final = 0.9
USERS: Final = ("pbm", "ubm", "dbn")
_BATCH: Final = 65_536


@dataclass(frozen=True)
class Truth:
    """What the simulated users really do: attraction and satisfaction per pair, examination by rank and last click."""

    attraction: Floats
    satisfaction: Floats
    theta: Floats
    gamma: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Truth:
        attraction = rng.beta(1.0, 3.0, size=PAIRS).clip(0.02, 0.95)
        satisfaction = rng.beta(2.0, 2.0, size=PAIRS).clip(0.02, 0.98)
        ranks = np.arange(1.0, RANKS + 1.0)
        gamma = np.zeros((RANKS, RANKS + 1))
        gamma[:, 0] = ranks**-0.6
        for rank in range(1, RANKS):
            last = np.arange(1.0, rank + 1.0)
            gamma[rank, 1 : rank + 1] = np.minimum((rank + 1 - last) ** -0.5 * (0.95 - 0.02 * last), 0.98)
        return cls(attraction, satisfaction, ranks**-0.8, gamma)


def reference(pages: int, seed: int = 7) -> tuple[Truth, dict[str, Sessions]]:
    """The truth, and the same pages with the clicks of each user. The numbers are drawn in the order in which the
    reference draws them, so that the logs are equal to it, click for click."""
    rng = np.random.default_rng(seed)
    truth = Truth.drawn(rng)
    query = _queries(pages, rng)
    return truth, _shown(truth, query, _ranker(truth, rng), rng, USERS)


def stream(pages: int, user: str, seed: int = 7, batch: int = _BATCH) -> Iterator[Sessions]:
    """The pages of one user and one ranker, a batch at a time: the users are those of `reference`, the pages others."""
    rng = np.random.default_rng(seed)
    truth = Truth.drawn(rng)
    score = _ranker(truth, rng)
    for start in range(0, pages, batch):
        query = _queries(min(batch, pages - start), rng)
        yield _shown(truth, query, score, rng, (user,))[user]


def _queries(pages: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    share = 1.0 / np.arange(1, QUERIES + 1)
    return rng.choice(QUERIES, size=pages, p=share / share.sum())


def _ranker(truth: Truth, rng: np.random.Generator) -> Floats:
    """The scores that pages are drawn by, (QUERIES, DOCUMENTS)."""
    odds = np.log(truth.attraction / (1.0 - truth.attraction)).reshape(QUERIES, DOCUMENTS)
    score: Floats = odds + rng.normal(0.0, 1.0, size=odds.shape)
    return score


def _shown(
    truth: Truth, query: npt.NDArray[np.int64], score: Floats, rng: np.random.Generator, users: Sequence[str]
) -> dict[str, Sessions]:
    noise = rng.gumbel(size=(len(query), DOCUMENTS))
    pair = query[:, None] * DOCUMENTS + np.argsort(-(score[query] + noise), axis=1)[:, :RANKS]
    chances = [rng.random(pair.shape) for _ in range(3)]
    return {user: Sessions.of(pair, clicks(user, truth, pair, chances), query) for user in users}


def clicks(user: str, truth: Truth, pair: npt.NDArray[np.int64], chances: Sequence[Floats]) -> npt.NDArray[np.bool_]:
    """What a user clicks on pages (n, r), given three uniform numbers per document shown."""
    attraction = truth.attraction[pair]
    if user == "pbm":
        found: npt.NDArray[np.bool_] = chances[0] < attraction * truth.theta
        return found
    made = np.zeros(pair.shape, dtype=np.bool_)
    last, reading = np.zeros(len(pair), dtype=np.int64), np.ones(len(pair), dtype=np.bool_)
    for rank in range(RANKS):
        look = truth.gamma[rank, last] if user == "ubm" else reading
        made[:, rank] = chances[0][:, rank] < attraction[:, rank] * look
        last = np.where(made[:, rank], rank + 1, last)
        satisfied = made[:, rank] & (chances[1][:, rank] < truth.satisfaction[pair[:, rank]])
        reading = reading & ~satisfied & (chances[2][:, rank] < CONTINUATION)
    return made


def write_stream(path: Path, pages: int, user: str) -> None:
    """The click log of `stream`, at a path."""
    from ranking.clicks.log import LogWriter

    with LogWriter(path) as writer:
        start = 0
        for log in stream(pages, user):
            writer.add(as_pages(log, start))
            start += len(log)


def as_pages(log: Sessions, start: int) -> Any:
    """Arrays as a batch of a click log, without a loop over pages; pages are numbered from `start`."""
    import pyarrow as pa

    from ranking.clicks.pages import Pages
    from ranking.clicks.schema import EVENTS, IMPRESSIONS

    n = len(log)
    names = pa.array([f"p{number}" for number in range(start, start + n)])
    queries = pa.array([f"q{number}" for number in range(QUERIES)])
    documents = pa.array([f"d{number}" for number in range(DOCUMENTS)])
    offsets = pa.array(np.arange(0, (n + 1) * RANKS, RANKS), pa.int32())
    shown = documents.take(pa.array((log.pair % DOCUMENTS).ravel()))
    ranks = pa.array(np.tile(np.arange(1, RANKS + 1, dtype=np.int32), n))
    columns = {
        "query_id": names,
        "query": queries.take(pa.array(log.query)),
        "documents": pa.ListArray.from_arrays(offsets, shown),
        "ranks": pa.ListArray.from_arrays(offsets, ranks),
    }
    rows, places = np.nonzero(log.clicks)
    acts = {
        "query_id": names.take(pa.array(rows)),
        "document": shown.take(pa.array(rows * RANKS + places)),
        "kind": pa.array(["click"]).take(pa.array(np.zeros(len(rows), dtype=np.int64))),
        "rank": pa.array((places + 1).astype(np.int32)),
    }
    return Pages(_filled(columns, IMPRESSIONS, n), _filled(acts, EVENTS, len(rows)), rows)


def _filled(columns: Mapping[str, Any], schema: Any, rows: int) -> Any:
    import pyarrow as pa

    arrays = [columns[f.name] if f.name in columns else pa.nulls(rows, f.type) for f in schema]
    typed = [array.cast(f.type) for array, f in zip(arrays, schema, strict=True)]
    return pa.RecordBatch.from_arrays(typed, schema=schema)
