"""A click log as numbered arrays: what click models, propensities and unbiased learning to rank are fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ranking.clicks.log import BATCH, ClickLog
from ranking.clicks.pages import Integers, Pages
from ranking.clicks.sessions import Sessions, Vocabulary

RANKS: Final = 100
"""Documents shown deeper are left out, so that one damaged rank cannot make every array as wide."""


def sessions(
    log: ClickLog | Iterable[Pages], vocabulary: Vocabulary, *, batch: int = BATCH, ranks: int = RANKS
) -> Iterator[Sessions]:
    """The pages of a log as arrays, at most `batch` of a log at a time; the vocabulary grows with them.

    A document is in the column of its rank: rank 1 in column 0, and a slot without a document has the pair -1, at the
    end of a page or within it. The surface is the device, the arm is the experiment's or else the version of the
    pipeline; both are numbered in the order in which they are first seen, so later batches only add names. Pages whose
    ranks are damaged (`Pages.sound`) are left out, as are clicks on documents that the page does not show.
    """
    surfaces, arms = _Names(), _Names()
    for pages in log.pages(batch) if isinstance(log, ClickLog) else log:
        good = pages.take(pages.sound)
        if len(good):
            yield _coded(good, vocabulary, surfaces, arms, ranks)


class _Names:
    """Numbers names in the order in which they are first seen; what has no name is ""."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def codes(self, column: Any) -> npt.NDArray[np.int32]:
        local, names = _encoded(pc.fill_null(column, ""))
        return np.array([self.known.setdefault(name, len(self.known)) for name in names], dtype=np.int32)[local]


def _coded(pages: Pages, vocabulary: Vocabulary, surfaces: _Names, arms: _Names, ranks: int) -> Sessions:
    keep = pages.ranks <= ranks
    rows, columns = pages.page_of_slot[keep], pages.ranks[keep] - 1
    width = int(columns.max(initial=0)) + 1
    local, queries = _encoded(pages.impressions.column("query"))
    document, documents = _encoded(pages.documents)
    # Python is asked once per distinct pair of the batch, not once per document shown.
    keys = pa.array(local[pages.page_of_slot] * len(documents) + document).dictionary_encode()
    known = [
        vocabulary.pair(queries[key // len(documents)], documents[key % len(documents)])
        for key in keys.dictionary.to_pylist()
    ]
    pair = np.full((len(pages), width), -1, dtype=np.int32)
    pair[rows, columns] = np.array(known, dtype=np.int32)[np.asarray(keys.indices)][keep]
    clicks = np.zeros(pair.shape, dtype=np.bool_)
    clicks[rows, columns] = pages.clicked[keep]
    query = np.array([vocabulary.query(name) for name in queries], dtype=np.int32)[local]
    shown = pages.impressions
    surface = surfaces.codes(shown.column("device"))
    arm = arms.codes(pc.coalesce(shown.column("arm"), shown.column("pipeline_version")))
    return Sessions.of(
        pair, clicks, query, surface=surface, arm=arm, surfaces=tuple(surfaces.known), arms=tuple(arms.known)
    )


def _encoded(column: Any) -> tuple[Integers, list[str]]:
    """A text column as numbers from 0, and the text of each number."""
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    encoded = chunked.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices, dtype=np.int64), encoded.dictionary.to_pylist()
