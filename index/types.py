"""The nouns of the ground floor: Document, Query, Ranking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import InputError

if TYPE_CHECKING:
    from index.filters import Filter

FieldValue: TypeAlias = str | int | float | bool | Sequence[str]
"""A filterable value: a keyword, a number, a date as ISO 8601 text, or several keywords."""


@dataclass(frozen=True, slots=True)
class Document:
    """One thing that can be found. `fields` are the values that filters read."""

    id: str
    title: str = ""
    text: str = ""
    fields: Mapping[str, FieldValue] = field(default_factory=dict)

    @property
    def contents(self) -> str:
        """Title and text as one string: what a flat index and an encoder read."""
        return f"{self.title}\n{self.text}" if self.title else self.text


MAX_ID_LENGTH = 512


def id_problem(doc_id: str) -> str | None:
    """Why a document id cannot be used, None where it can."""
    if not doc_id:
        return "the id is empty"
    if len(doc_id) > MAX_ID_LENGTH:
        return f"the id has {len(doc_id)} characters, and at most {MAX_ID_LENGTH} are allowed"
    if any(char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in doc_id):
        return "the id holds a control character or half a surrogate pair"
    return None


def check_id(doc_id: str) -> None:
    """Raise InputError for an id that cannot be used."""
    if problem := id_problem(doc_id):
        raise InputError(f"Document {doc_id[:80]!r}: {problem}.", "Give it a short printable id.")


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody asked. `filter` restricts which documents may answer."""

    id: str
    text: str
    filter: Filter | None = None


class Ranking:
    """Ordered document ids with their scores: two parallel arrays, score descending, ties by id ascending.

    `ids` is a tuple of n distinct strings and `scores` a read-only float64 array of shape (n,). Build one with
    `Ranking.of`, which sorts; the constructor trusts its caller.
    """

    __slots__ = ("ids", "scores")

    def __init__(self, ids: Sequence[str], scores: npt.NDArray[np.float64]) -> None:
        self.ids: tuple[str, ...] = tuple(ids)
        self.scores = np.asarray(scores, dtype=np.float64)
        self.scores.flags.writeable = False

    @classmethod
    def of(cls, ids: Sequence[str], scores: npt.ArrayLike, limit: int | None = None) -> Ranking:
        """Sort documents into a ranking and keep the first `limit`.

        Raises ValueError where the arrays differ in length, an id occurs twice or a score is NaN.
        """
        values = np.array(scores, dtype=np.float64).reshape(-1)
        if len(values) != len(ids):
            raise ValueError(f"{len(ids)} ids but {len(values)} scores")
        if np.isnan(values).any():
            raise ValueError("a score is NaN")
        if len(set(ids)) != len(ids):
            raise ValueError("a document id occurs twice")
        order = np.argsort(-values, kind="stable")
        _order_ties_by_id(order, values[order], ids)
        kept = order[:limit]
        return cls([ids[i] for i in kept.tolist()], values[kept])

    @classmethod
    def empty(cls) -> Ranking:
        return cls((), np.zeros(0))

    def head(self, limit: int) -> Ranking:
        """The first `limit` documents."""
        return self if limit >= len(self) else Ranking(self.ids[:limit], self.scores[:limit])

    def without(self, ids: Iterable[str]) -> Ranking:
        """The ranking less the documents named."""
        dropped = set(ids)
        keep = [i for i, doc in enumerate(self.ids) if doc not in dropped]
        return self if len(keep) == len(self) else Ranking([self.ids[i] for i in keep], self.scores[keep])

    def scores_by_id(self) -> dict[str, float]:
        return dict(zip(self.ids, self.scores.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(zip(self.ids, self.scores.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranking) and self.ids == other.ids and np.array_equal(self.scores, other.scores)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        head = ", ".join(f"{doc}:{score:.4g}" for doc, score in zip(self.ids[:3], self.scores[:3], strict=True))
        return f"Ranking({len(self)}: {head}{', …' if len(self) > 3 else ''})"


def _order_ties_by_id(order: npt.NDArray[np.intp], ranked: npt.NDArray[np.float64], ids: Sequence[str]) -> None:
    """Within each run of equal scores, put the positions in `order` into the order of their ids, in place.

    Ties are rare, so one array sort and a loop over the runs is eight times as fast as sorting (score, id) pairs.
    """
    tied = np.concatenate(([False], ranked[1:] == ranked[:-1], [False]))
    edges = np.flatnonzero(tied[1:] != tied[:-1])
    for first, last in edges.reshape(-1, 2).tolist():
        run = slice(first, last + 1)
        order[run] = sorted(order[run].tolist(), key=ids.__getitem__)
