"""Feedback: what is known, for one query, about how relevant some documents are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt

from index.errors import InputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """Graded relevance for n distinct documents: `relevance` in [0, 1] and `weight` >= 0, both of shape (n,).

    An explicit judgement has relevance 0 or 1 and weight 1. A debiased click has its posterior relevance, weighted by
    the confidence in it. Build one with `Feedback.of` or `Feedback.judged`, which check.

    Every ranker reads a grade in the same way: a document of relevance r and weight s is r * s of a relevant document
    and (1 - r) * s of one that is not relevant. For explicit judgements this is the textbook's division in two.
    """

    ids: tuple[str, ...]
    relevance: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, ids: Iterable[str], relevance: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Feedback:
        """Feedback from parallel arrays; a document that is named twice with the same values counts once.

        Raises InputError for a relevance outside [0, 1], a negative or infinite weight, lengths that differ, or two
        things said about one document: arrays have no order in time, by which the last word would count.
        """
        names = tuple(ids)
        grades = np.array(relevance, dtype=np.float64).reshape(-1)
        weights = np.ones(len(names)) if weight is None else np.array(weight, dtype=np.float64).reshape(-1)
        if not len(names) == len(grades) == len(weights):
            raise InputError(
                f"Feedback has {len(names)} documents, {len(grades)} relevance values and {len(weights)} weights.",
                "Give one of each per document.",
            )
        if not bool(np.all((grades >= 0) & (grades <= 1))):
            raise InputError("A feedback relevance is outside [0, 1].", "Use 1 for relevant and 0 for not relevant.")
        if not bool(np.all((weights >= 0) & np.isfinite(weights))):
            raise InputError("A feedback weight is negative or not finite.", "Use a weight of 0 or more; 1 is usual.")
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            before = first.setdefault(name, i)
            if (grades[before], weights[before]) != (grades[i], weights[i]):
                raise InputError(
                    f"The feedback says two things about document {name!r}.", "Say once how relevant a document is."
                )
        keep = list(first.values())
        return cls(tuple(first), grades[keep], weights[keep])

    @classmethod
    def judged(cls, relevant: Sequence[str] = (), not_relevant: Sequence[str] = ()) -> Feedback:
        """Explicit judgements: relevance 1 or 0, weight 1. Raises InputError for a document in both."""
        grades = [*repeat(1.0, len(relevant)), *repeat(0.0, len(not_relevant))]
        return cls.of([*relevant, *not_relevant], grades)

    @classmethod
    def from_grades(cls, grades: Mapping[str, float]) -> Feedback:
        return cls.of(grades.keys(), list(grades.values()))

    @property
    def digest(self) -> str:
        """A hash of the content, the same whatever the order: for cache keys."""
        rows = sorted(zip(self.ids, self.relevance.tolist(), self.weight.tolist(), strict=True))
        return hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def select(self, keep: npt.NDArray[np.bool_]) -> Feedback:
        """The documents for which `keep`, of shape (n,), is true."""
        return Feedback(
            tuple(doc for doc, kept in zip(self.ids, keep.tolist(), strict=True) if kept),
            self.relevance[keep],
            self.weight[keep],
        )

    @property
    def relevant_weight(self) -> FloatArray:
        """How much of a relevant document each one is, relevance * weight: shape (n,)."""
        return self.relevance * self.weight

    @property
    def not_relevant_weight(self) -> FloatArray:
        """How much of a document that is not relevant each one is, (1 - relevance) * weight: shape (n,)."""
        return (1.0 - self.relevance) * self.weight

    @property
    def positive(self) -> Feedback:
        """The documents more likely relevant than not (relevance above 0.5) that have weight."""
        return self.select((self.relevance > 0.5) & (self.weight > 0))

    @property
    def negative(self) -> Feedback:
        """The documents that are at most as likely relevant as not and that have weight."""
        return self.select((self.relevance <= 0.5) & (self.weight > 0))

    def __len__(self) -> int:
        return len(self.ids)


NO_FEEDBACK = Feedback((), np.zeros(0), np.zeros(0))
