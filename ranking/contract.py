"""The one contract: requests in, rankings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from index.types import Query, Ranking
from ranking.feedback import NO_FEEDBACK, Feedback

if TYPE_CHECKING:
    from index.lucene_query import LexicalQuery
    from ranking.context import Context


@dataclass(frozen=True, slots=True)
class Request:
    """One query to rank for.

    `candidates` are the documents to order: exactly these come back, and the query's filter is not asked again. None
    means that the ranker retrieves on its own, within the filter. `exclude_feedback` leaves the feedback documents out
    of the answer (the residual collection of an evaluation) and changes nothing else; otherwise they are ranked like
    any other. `limit` is the most documents wanted, None for the ranker's own depth.
    """

    query: Query
    feedback: Feedback = NO_FEEDBACK
    candidates: Ranking | None = None
    exclude_feedback: bool = False
    limit: int | None = None

    def answer(self, ranking: Ranking) -> Ranking:
        """The last step of every ranker: feedback documents left out if so wished, and cut to the limit."""
        kept = ranking.without(self.feedback.ids) if self.exclude_feedback else ranking
        return kept if self.limit is None else kept.head(self.limit)

    def depth(self, own: int) -> int:
        """How many documents to retrieve: the ranker's own depth, or more where the answer would fall short.

        Never fewer, so that a small limit gives the head of the same ranking.
        """
        excluded = len(self.feedback) if self.exclude_feedback else 0
        return own if self.limit is None else max(own, self.limit + excluded)


@runtime_checkable
class Ranker(Protocol):
    """`rank` takes n requests and returns n rankings, in their order.

    A ranker is made of its options alone; what it reads comes with the `Context`: one snapshot of the index and the
    query vectors, shared by all rankers that work on the same call.

    Promises that every ranker keeps (`tests/ranking/contract.py` checks them): the answer holds only documents of the
    index, or exactly those of `request.candidates` where given; scores descend and ties are ordered by id; the same
    request gives the same answer, alone or in a batch; no feedback and no candidates are both fine; feedback on
    documents that the index does not hold is ignored; `exclude_feedback` and `limit` are honoured. A query that says
    nothing (empty, or of stop words only) is answered from the feedback, and without any by an empty ranking or, where
    there are candidates, by these in the order in which they came.
    """

    needs_vectors: ClassVar[bool]
    """Whether it reads embeddings, and so cannot work on an index that has none."""

    @property
    def depth(self) -> int:
        """How many documents it retrieves where it is given no candidates and no larger limit."""
        ...

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]: ...


@runtime_checkable
class Lexical(Ranker, Protocol):
    """A ranker whose answer is one search of the inverted index, which can account for every score."""

    def expand(self, request: Request, context: Context) -> LexicalQuery:
        """What it searches for."""
        ...


@runtime_checkable
class Adapting(Ranker, Protocol):
    """A ranker that adapts a model to the feedback, and can show what it would have ranked without."""

    def rank_both(self, requests: Sequence[Request], context: Context) -> list[tuple[Ranking, Ranking]]:
        """For each request the ranking before adaptation and after it. `rank` gives the latter."""
        ...


@runtime_checkable
class Learned(Ranker, Protocol):
    """A ranker whose answers depend on a model's weights beside its options."""

    @property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        ...


@runtime_checkable
class Modelled(Ranker, Protocol):
    """A ranker with a model that one can name."""

    @property
    def model(self) -> str: ...

    def load(self) -> None:
        """Have the model ready. Raises NotFoundError or UnavailableError where it cannot be."""
        ...


@runtime_checkable
class Fuser(Protocol):
    """Makes one ranking of several for the same query. The order of the inputs matters only for their weights."""

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking: ...
