"""Texts that come with the question, ranked by the same rankers as the documents of an index, without one.

No collection stands behind such texts, so all vectors are raw and there are no statistics of words: rankers that read
vectors or texts work on them, those that search words do not.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import numpy.typing as npt

from index.learned import Learned
from index.types import Document, Query, Ranking
from ranking.context import Context, Space, Vectors
from ranking.contract import Ranker, Request
from ranking.feedback import NO_FEEDBACK, Feedback
from ranking.learning.cache import BytesCache

if TYPE_CHECKING:
    from index.encoder import Encoder
    from index.index import View


_PIECE: Final = 32
"""Texts that are embedded between two looks at the clock."""


def vector_cache(megabytes: int = 64) -> BytesCache[bytes, Vectors]:
    """Room for the vectors of texts that are sent again, as they are after a click."""
    return BytesCache(megabytes * 1_000_000, lambda vector: int(vector.nbytes))


def rank_texts(
    ranker: Ranker,
    query: str,
    texts: Mapping[str, str],
    candidates: Sequence[str],
    encoder: Encoder,
    *,
    feedback: Feedback = NO_FEEDBACK,
    vectors: BytesCache[bytes, Vectors] | None = None,
    before: Sequence[Ranker] = (),
    deadline: float | None = None,
) -> tuple[Ranking, Context]:
    """The candidates in the ranker's order, and the context, which knows what was cut short.

    `texts` holds the text of every candidate and of every document with feedback, by ids of the caller's choosing.
    Every candidate is in the answer; a query that says nothing and has no feedback leaves them as they came.

    `deadline` is a time of `time.perf_counter`. What the rankers of `before` say, one after the other, stands where it
    is over before the ranker has answered. Texts that were not embedded in time are like no other text, until they are
    sent again. The context is degraded then.
    """
    first = {doc: texts[doc] for doc in feedback.ids if doc in texts}  # the more is known of these, the better
    given = _Vectors({**first, **texts}, encoder, vectors if vectors is not None else vector_cache(), deadline)
    # A view of an index as far as rankers of candidates read it: the words that it knows, its texts and its vectors.
    view = cast("View", _View(_Texts(texts), given))
    context = Context(view, encoder.encode, lambda: encoder, deadline)
    ranking = Ranking(candidates, -np.arange(1.0, len(candidates) + 1.0))
    for place, one in enumerate((*before, ranker)):
        if place and context.late:
            context.degrade("deadline")
            break
        ranking = one.rank([Request(Query("", query), feedback, ranking)], context)[0]
    if given.late:
        context.degrade("deadline")
    return ranking, context


class _View:
    """See `index.view.View`."""

    degraded: str | None = None
    asking: None = None

    def __init__(self, lexical: _Texts, vectors: _Vectors) -> None:
        self.lexical, self.vectors = lexical, vectors


class _Texts:
    """What rankers of candidates ask the lexical side of an index."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __contains__(self, doc_id: str) -> bool:
        return doc_id in self._texts

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        return [Document(doc, "", self._texts[doc]) if doc in self._texts else None for doc in ids]

    def analyze(self, words: str) -> list[str]:
        """Whether words say something is all that matters here, so no analyzer is needed."""
        return words.split()


class _Vectors:
    """The texts' vectors, computed when a ranker first asks for them; `late` says whether there was no time for all."""

    late = False

    def __init__(
        self, texts: Mapping[str, str], encoder: Encoder, known: BytesCache[bytes, Vectors], deadline: float | None
    ) -> None:
        self._texts, self._encoder, self._known, self._deadline = texts, encoder, known, deadline
        self._rows: dict[str, Vectors] | None = None
        self.dimension = encoder.dimension
        self.learned = Learned()

    def take(self, ids: Sequence[str], space: Space = "raw") -> Vectors:
        """Float32 of shape (n, dimension), L2-normalised: the same in every space; zeros where there is no text."""
        if self._rows is None:
            self._rows = self._encoded()
        nothing = np.zeros(self.dimension, dtype=np.float32)
        rows = [self._rows.get(doc, nothing) for doc in ids]
        return np.stack(rows) if rows else np.zeros((0, self.dimension), dtype=np.float32)

    def width(self, space: Space) -> int:
        return self.dimension

    def condition(self, raw: Vectors) -> Vectors:
        return raw

    def _encoded(self) -> dict[str, Vectors]:
        keys = {doc: self._key(text) for doc, text in self._texts.items()}
        found = {doc: vector for doc, key in keys.items() if (vector := self._known.get(key)) is not None}
        missing = [doc for doc in self._texts if doc not in found]
        piece = len(missing) if self._deadline is None else _PIECE
        for begin in range(0, len(missing), max(1, piece)):
            if self._deadline is not None and time.perf_counter() >= self._deadline:
                self.late = True
                break
            some = missing[begin : begin + piece]
            readable = [self._texts[doc].encode("utf-8", "replace").decode() for doc in some]
            rows: npt.NDArray[np.float32] = self._encoder.encode(readable)
            for doc, row in zip(some, rows, strict=True):
                found[doc] = row.copy()
                self._known.put(keys[doc], found[doc])
        return found

    def _key(self, text: str) -> bytes:
        checked = f"{self._encoder.checksum} {self._encoder.max_tokens} ".encode()
        return hashlib.blake2b(checked + text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
