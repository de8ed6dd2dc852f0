"""What all rankers of one call read: one snapshot of the index, and every query vector computed once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from index.types import Query

if TYPE_CHECKING:
    from index.encoder import Encoder
    from index.index import Index
    from index.view import Lexical, View
    from index.view import Vectors as StoredVectors

Vectors: TypeAlias = npt.NDArray[np.float32]
Space: TypeAlias = Literal["conditioned", "raw", "learned"]


class Context:
    """Made for one call of `Pipeline.rank` (or of several pipelines that answer together) and then forgotten.

    The view is taken once, so an update of the index in the middle of a request cannot make two stages disagree. A
    query is analysed when a ranker first asks for its terms, and encoded when one first asks for its vector: the first
    ranker that does so with a batch of requests has all their queries encoded in one go. Not thread-safe: one call,
    one context.
    """

    def __init__(
        self,
        view: View,
        encode: Callable[[Sequence[str]], Vectors],
        encoder: Callable[[], Encoder],
        deadline: float | None = None,
    ) -> None:
        """`deadline` is a time of `time.perf_counter`: after it the answer is what there is by then."""
        self.view = view
        self.deadline = deadline
        if view.asking is not None:
            view.asking.deadline = deadline
        self.encode_seconds = 0.0  # the time spent in the encoder so far
        self._degraded: str | None = None
        self.truncated = 0  # texts that a ranker has not read to their end
        self._encode, self._encoder = encode, encoder
        self._terms: dict[str, list[str]] = {}
        self._query_vectors: dict[tuple[Space, str], Vectors] = {}

    @classmethod
    def of(cls, index: Index, deadline: float | None = None) -> Context:
        """The newest committed state of an index."""
        manifest, view = index.manifest, index.view()
        if view.generation != manifest.generation:  # a new one has come between the two
            manifest = index.manifest
        return cls(view, partial(index.encode, manifest=manifest), partial(index.encoder, manifest), deadline)

    @property
    def late(self) -> bool:
        """Whether the deadline is over."""
        return self.deadline is not None and time.perf_counter() >= self.deadline

    def until(self, ms: float | None) -> float | None:
        """The deadline of a ranker that gives itself so many milliseconds from now: never after the whole call's."""
        own = None if ms is None else time.perf_counter() + ms / 1000
        return min((end for end in (own, self.deadline) if end is not None), default=None)

    def degrade(self, reason: str) -> None:
        """Note that a ranker could not do all that it should; the first reason counts."""
        self._degraded = self._degraded or reason

    @property
    def degraded(self) -> str | None:
        """Why an answer is less than it could be, None where it is not."""
        return self._degraded or self.view.degraded

    @property
    def lexical(self) -> Lexical:
        return self.view.lexical

    @property
    def vectors(self) -> StoredVectors:
        """The stored embeddings, or InputError where the index has none."""
        if self.view.vectors is None:
            raise _no_embeddings()
        return self.view.vectors

    def encoder(self) -> Encoder:
        """The model that made the stored embeddings, or InputError where the index has none."""
        if self.view.vectors is None:
            raise _no_embeddings()
        return self._encoder()

    def terms(self, query: Query) -> list[str]:
        """The analysed terms of a query, in their order: empty if it says nothing to this index."""
        if query.text not in self._terms:
            self._terms[query.text] = self.lexical.analyze(query.text) if query.text.strip() else []
        return self._terms[query.text]

    def query_vectors(self, queries: Sequence[Query], space: Space) -> Vectors:
        """One L2-normalised row per query, shape (n, width of the space); zero for a query that says nothing."""
        said = [query.text for query in queries if self.terms(query)]
        self._encode_missing(said)
        if space != "raw":
            self._derive_missing(said, "raw", "conditioned", self.vectors.condition)
        if space == "learned":
            self._derive_missing(said, "conditioned", "learned", self.vectors.learned.queries)
        silent = np.zeros(self.vectors.width(space), dtype=np.float32)
        rows = [self._query_vectors[space, query.text] if self.terms(query) else silent for query in queries]
        return np.stack(rows) if rows else np.zeros((0, len(silent)), dtype=np.float32)

    def _encode_missing(self, texts: Sequence[str]) -> None:
        missing = [text for text in dict.fromkeys(texts) if ("raw", text) not in self._query_vectors]
        if missing:
            start = time.perf_counter()
            # Tokenizers refuse lone surrogates, which JSON can carry.
            readable = [text.encode("utf-8", "replace").decode("utf-8") for text in missing]
            rows = np.asarray(self._encode(readable), dtype=np.float32)
            self._query_vectors.update({("raw", text): row for text, row in zip(missing, rows, strict=True)})
            self.encode_seconds += time.perf_counter() - start

    def _derive_missing(
        self, texts: Sequence[str], origin: Space, space: Space, derive: Callable[[Vectors], Vectors]
    ) -> None:
        missing = [text for text in dict.fromkeys(texts) if (space, text) not in self._query_vectors]
        for text in missing:  # one by one: in a product of matrices the batch would leave traces in the rounding
            self._query_vectors[space, text] = derive(self._query_vectors[origin, text][None])[0]


def _no_embeddings() -> InputError:
    return InputError(
        "The index stores no embeddings.",
        "Use a pipeline that reads none, such as bm25-qe, or build the index with an encoder.",
    )
