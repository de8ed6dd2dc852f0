"""The inverted index and the vectors of an index in shards, read as if there were no shards.

A search asks twice: once for the frequencies of terms that are not known yet, then for the best documents by the
statistics of the whole collection. Every shard gives as many documents as are wanted in all, scored as the one index
would score them, so that the best of all of them, ties by id, are exactly its ranking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from index.analysis import Analysis
from index.filters import Filter
from index.learned import Learned
from index.likeness import likeness
from index.lucene_query import LexicalQuery, QueryBuilder
from index.manifest import Manifest
from index.sharded.asking import Asking
from index.sharded.shard import ShardState, shard_of
from index.snippets import Snippet
from index.space import Space
from index.statistics import FieldStatistics, Frequencies, Statistics, added
from index.types import Document, Ranking
from index.vector_view import SpaceName

T = TypeVar("T")
Single = npt.NDArray[np.float32]
_MOST_TERMS = 200_000  # remembered with their frequencies


class Collection:
    """What all views of one state of an index in shards share: everything but the questions. Thread-safe."""

    def __init__(self, manifest: Manifest, states: Sequence[ShardState]) -> None:
        self.commits = tuple(state.commit for state in states)
        self.documents = sum(state.documents for state in states)
        self.fields = {name: kind for state in states for name, kind in state.fields.items()}
        self.statistics = {
            name: sum((state.statistics[name] for state in states), FieldStatistics()) for name in manifest.boosts
        }
        self.analysis = Analysis(manifest.analyzer)
        self.builder = QueryBuilder(self.analysis.analyzer, manifest.boosts, self.fields)
        self.frequencies: dict[str, Frequencies] = {}


class ShardedLexical:
    """What `LexicalView` is to a whole index. For one call of the rankers: its questions are one `Asking`."""

    def __init__(self, collection: Collection, asking: Asking) -> None:
        self._collection, self._asking = collection, asking

    def anew(self, asking: Asking) -> ShardedLexical:
        """The same, asked through another `Asking`."""
        return ShardedLexical(self._collection, asking)

    @property
    def documents_count(self) -> int:
        return self._collection.documents

    def search(self, query: LexicalQuery, limit: int) -> Ranking:
        """The best `limit` documents by BM25: see `LexicalView.search`."""
        statistics = self._statistics(query)
        asked = replace(query, like=())
        if query.within is None:
            found = self._asking.all("lexical", "search", asked, limit, statistics)
        else:
            groups = self._by_shard(query.within)
            among = {n: (replace(asked, within=tuple(ids)), limit, statistics) for n, ids in groups.items()}
            found = self._asking.some("lexical", "search", among)
        return merged(list(found.values()), limit)

    def explain(self, query: LexicalQuery, doc_id: str) -> str:
        """Lucene's own account of a document's score, by the statistics of the whole collection."""
        number, asked = shard_of(doc_id, self._asking.shards), replace(query, like=())
        given = (asked, doc_id, self._statistics(query))
        answers = self._asking.some("lexical", "explain", {number: given})
        return str(answers.get(number, "no match"))

    def check(self, condition: Filter) -> None:
        """Raise InputError where the filter names an unknown field or a value that does not fit its field."""
        self._collection.builder.filter(condition)

    def analyze(self, words: str) -> list[str]:
        """The terms that the index's analyzer makes of a text, in order, with repetitions."""
        return self._collection.analysis.terms(words)

    def live_ids(self, limit: int | None = None) -> list[str]:
        """The ids of the documents that live, or of `limit` of them."""
        parts = self._asking.all("lexical", "live_ids", limit)
        return [doc for number in sorted(parts) for doc in parts[number]][:limit]

    def __contains__(self, doc_id: str) -> bool:
        return self.holds([doc_id])[0]

    def holds(self, ids: Sequence[str]) -> list[bool]:
        """Whether each document is in the index."""
        return self._of_documents("lexical", "holds", ids, False)

    def document(self, doc_id: str) -> Document | None:
        """A stored document, None where there is none."""
        return self.documents([doc_id])[0]

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        """Stored documents in the order asked for, None where there is none."""
        return self._of_documents("lexical", "documents", ids, None)

    def term_vectors(self, ids: Sequence[str]) -> list[dict[str, int]]:
        """Analysed terms with their frequencies, over all searched fields; empty for an unknown document."""
        return self._of_documents("lexical", "term_vectors", ids, {})

    def doc_frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """How many documents hold each term (in the most frequent of the searched fields)."""
        return {term: max(held for held, _ in counts) for term, counts in self.frequencies(terms).items()}

    def collection_frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """How often each term occurs in all documents, over the searched fields."""
        return {term: sum(often for _, often in counts) for term, counts in self.frequencies(terms).items()}

    def frequencies(self, terms: Iterable[str]) -> dict[str, Frequencies]:
        """The statistics of each term, by searched field."""
        known, wanted = self._collection.frequencies, list(dict.fromkeys(terms))
        missing = [term for term in wanted if term not in known]
        if not missing:
            return {term: known[term] for term in wanted}
        answers = self._asking.all("lexical", "frequencies", missing)
        counted = added(answers.values())
        if len(answers) == self._asking.shards:  # counts that lack a shard are for this call alone
            if len(known) > _MOST_TERMS:
                self._collection.frequencies = {}
            self._collection.frequencies.update(counted)
        return {term: counted[term] if term in counted else known[term] for term in wanted}

    def field_statistics(self) -> dict[str, FieldStatistics]:
        """The statistics of each searched field."""
        return self._collection.statistics

    def total_terms(self) -> int:
        """How many terms all documents hold, over the searched fields."""
        return sum(field.terms for field in self._collection.statistics.values())

    def snippets(self, words: str, ids: Sequence[str], width: int = 240) -> list[Snippet]:
        """For each document its best window for the query: about `width` characters, matching words marked."""
        return self.snippets_of(words, self.documents(ids), width)

    def snippets_of(self, words: str, documents: Iterable[Document | None], width: int = 240) -> list[Snippet]:
        """The same for documents that have been read already."""
        frequencies = self.doc_frequencies(set(self.analyze(words)))
        return self._collection.analysis.snippets(documents, frequencies, self.documents_count, width)

    def _statistics(self, query: LexicalQuery) -> Statistics:
        alike = likeness(query.like, query.like_terms, self)
        terms = dict.fromkeys([*self.analyze(query.text), *query.terms, *(term for part in alike for term in part)])
        counts = self.frequencies(terms)
        # Counts that lack a shard must not be taken for those of the whole collection by the next query.
        version = (*self._collection.commits, *sorted(self._asking.missing))
        return Statistics(version, self._collection.statistics, counts, alike)

    def _of_documents(self, part: str, method: str, ids: Sequence[str], nothing: T) -> list[T]:
        """What each document's shard says about it; `nothing` where it does not answer."""
        groups = self._by_shard(ids)
        answers = self._asking.some(part, method, {number: (members,) for number, members in groups.items()})
        known: dict[str, T] = {}
        for number, values in answers.items():
            known.update(zip(groups[number], values, strict=True))
        return [known.get(doc, nothing) for doc in ids]

    def _by_shard(self, ids: Sequence[str]) -> dict[int, list[str]]:
        return by_shard(dict.fromkeys(ids), self._asking.shards)


class ShardedVectors:
    """What `VectorView` is to a whole index. All shards are conditioned by one space, and all have learned the same."""

    def __init__(self, space: Space, learned: Learned, asking: Asking) -> None:
        self._space, self._asking, self.learned = space, asking, learned
        self.dimension = space.dimension

    def anew(self, asking: Asking) -> ShardedVectors:
        """The same, asked through another `Asking`."""
        return ShardedVectors(self._space, self.learned, asking)

    @property
    def space_digest(self) -> str:
        """The digest of the space that the vectors are conditioned by: a metric belongs to one."""
        return self._space.digest

    @property
    def prior_space(self) -> str:
        """The digest of the conditioned space under its metric: a prior belongs to one."""
        return self.learned.metric.digest if self.learned.metric else self.space_digest

    def take(self, ids: Sequence[str], space: SpaceName = "conditioned") -> Single:
        """Document vectors, float32 of shape (n, `width(space)`), L2-normalised; zeros where a document has none."""
        rows = np.zeros((len(ids), self.dimension), np.float32)
        stored: SpaceName = "raw" if space == "raw" else "conditioned"
        places = by_shard(range(len(ids)), self._asking.shards, ids.__getitem__)
        asked = {number: ([ids[i] for i in members], stored) for number, members in places.items()}
        for number, found in self._asking.some("vectors", "take", asked).items():
            rows[places[number]] = found
        return self.learned.documents(ids, rows) if space == "learned" else rows

    def width(self, space: SpaceName) -> int:
        """How many numbers a vector of a space has."""
        return self.dimension + (self.learned.rank if space == "learned" else 0)

    def condition(self, raw: Single) -> Single:
        """Raw vectors, as the encoder gives them, in the conditioned space: shape (n, dimension)."""
        return self._space.apply(raw)

    def nearest(
        self, queries: Single, limit: int, filter: Filter | None = None, space: SpaceName = "conditioned"
    ) -> list[Ranking]:
        """For each query vector of a space (row of `queries`) the documents nearest to it, as `VectorView.nearest`."""
        answers = self._asking.all("vectors", "nearest", queries, limit, filter, space)
        return [merged([found[i] for found in answers.values()], limit) for i in range(len(queries))]


def merged(rankings: Sequence[Ranking], limit: int) -> Ranking:
    """The best `limit` documents of rankings that have none in common, ties by id."""
    if len(rankings) == 1:
        return rankings[0].head(limit)
    scores = np.concatenate([np.zeros(0), *(ranking.scores for ranking in rankings)])
    if limit <= 0 or not len(scores):
        return Ranking.empty()
    # Of hundreds of thousands of hits only those are looked at that reach the last place.
    least = np.partition(scores, -limit)[-limit] if limit < len(scores) else -np.inf
    heads = [ranking.ids[: int(np.searchsorted(-ranking.scores, -least, side="right"))] for ranking in rankings]
    return Ranking.of([doc for head in heads for doc in head], scores[scores >= least], limit)


def by_shard(things: Iterable[T], shards: int, doc_id: Callable[[T], Any] | None = None) -> dict[int, list[T]]:
    """Documents, or what has one, by the shard that it belongs to, in their order."""
    groups: Mapping[int, list[T]] = defaultdict(list)
    for thing in things:
        groups[shard_of(str(thing) if doc_id is None else doc_id(thing), shards)].append(thing)
    return dict(groups)
