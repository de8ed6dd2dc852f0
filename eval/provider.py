"""A provider for ir_measures that computes the usual measures on arrays of grades.

It gives what trec_eval gives (and for ERR and exponential gains what gdeval gives), for topics of any name and without
starting other programs, several times as fast for long runs. Measures that it does not know are left to the providers
of ir_measures itself. Import this module late: it loads ir_measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
from ir_measures import Metric, measures, providers
from ir_measures.providers.base import NOT_PROVIDED, Choices
from ir_measures.providers.base import Any as AnyValue

Grades = npt.NDArray[np.int64]

UNJUDGED = -1
ERR_MAX_GRADE = 4  # gdeval's


class ArrayProvider(providers.Provider):  # type: ignore[misc] # ir_measures ships no types
    """nDCG (both gains), AP, P, R, RR, ERR, Judged. Runs are read as dict of dict, ties by document number."""

    NAME = "arrays"
    SUPPORTED_MEASURES = (
        measures._nDCG(cutoff=AnyValue(), dcg=AnyValue(), gains=Choices(NOT_PROVIDED), judged_only=Choices(False)),
        measures._AP(cutoff=AnyValue(), rel=AnyValue(), judged_only=Choices(False)),
        measures._P(cutoff=AnyValue(), rel=AnyValue(), judged_only=Choices(False)),
        measures._R(cutoff=AnyValue(), rel=AnyValue(), judged_only=Choices(False)),
        measures._RR(cutoff=AnyValue(), rel=AnyValue(), judged_only=Choices(False)),
        measures._ERR(cutoff=AnyValue()),
        measures._Judged(cutoff=AnyValue()),
    )

    def _evaluator(self, wanted: Iterable[Any], qrels: Any) -> ArrayEvaluator:
        return ArrayEvaluator(list(wanted), qrels)


class ArrayEvaluator(providers.Evaluator):  # type: ignore[misc]
    """`qrels` is a dict of dict of grades, 0 or more."""

    def __init__(self, wanted: list[Any], qrels: Mapping[str, Mapping[str, int]]) -> None:
        super().__init__(wanted, list(qrels))
        self.qrels = qrels

    def _iter_calc(self, run: Mapping[str, Mapping[str, float]]) -> Iterator[Any]:
        for topic, judged in self.qrels.items():
            if found := run.get(topic):
                grades = ranked_grades(found, judged)
                ideal = np.sort(np.fromiter(judged.values(), np.int64, len(judged)))[::-1]
                for measure in self.measures:
                    yield Metric(topic, measure, COMPUTE[measure.NAME](measure, grades, ideal))


def ranked_grades(found: Mapping[str, float], judged: Mapping[str, int]) -> Grades:
    """The grades of the documents in the order of trec_eval: by score, ties by document number descending.

    Shape (documents,); UNJUDGED where there is none.
    """
    scores = np.fromiter(found.values(), np.float32, len(found))  # trec_eval's precision: what it takes for a tie
    grades = np.fromiter(map(judged.get, found, repeat(UNJUDGED)), np.int64, len(found))
    if (np.diff(scores) < 0).all():
        return grades
    names = np.array(list(found))
    return grades[np.lexsort((names, scores))[::-1]]


def _ndcg(measure: Any, grades: Grades, ideal: Grades) -> float:
    best = _dcg(measure, ideal)
    return _dcg(measure, grades) / best if best > 0 else 0.0


def _dcg(measure: Any, grades: Grades) -> float:
    """Linear gains (trec_eval) or 2^grade - 1 (gdeval), discounted by log2(1 + rank)."""
    top = np.maximum(_cut(measure, grades), 0).astype(np.float64)
    gains = np.exp2(top) - 1.0 if measure["dcg"] == "exp-log2" else top
    return float(gains @ (1.0 / np.log2(np.arange(2.0, len(top) + 2.0))))


def _average_precision(measure: Any, grades: Grades, ideal: Grades) -> float:
    ranks = np.flatnonzero(_cut(measure, grades) >= measure["rel"]) + 1.0
    precision = np.arange(1.0, len(ranks) + 1.0) / ranks
    return _ratio(float(precision.sum()), _relevant(measure, ideal))


def _precision(measure: Any, grades: Grades, ideal: Grades) -> float:
    cutoff = measure["cutoff"]
    return _ratio(_relevant(measure, _cut(measure, grades)), len(grades) if cutoff is NOT_PROVIDED else cutoff)


def _recall(measure: Any, grades: Grades, ideal: Grades) -> float:
    return _ratio(_relevant(measure, _cut(measure, grades)), _relevant(measure, ideal))


def _reciprocal_rank(measure: Any, grades: Grades, ideal: Grades) -> float:
    ranks = np.flatnonzero(_cut(measure, grades) >= measure["rel"])
    return 1.0 / (ranks[0] + 1.0) if len(ranks) else 0.0


def _expected_reciprocal_rank(measure: Any, grades: Grades, ideal: Grades) -> float:
    """Chapelle et al., "Expected reciprocal rank for graded relevance" (CIKM 2009), with gdeval's top grade of 4."""
    top = np.maximum(_cut(measure, grades), 0).astype(np.float64)
    highest = max(ERR_MAX_GRADE, int(ideal[0]) if len(ideal) else 0)
    satisfied = (np.exp2(top) - 1.0) / 2.0**highest
    reached = np.concatenate([[1.0], np.cumprod(1.0 - satisfied)[:-1]])
    return float((satisfied * reached / np.arange(1.0, len(top) + 1.0)).sum())


def _judged(measure: Any, grades: Grades, ideal: Grades) -> float:
    top = _cut(measure, grades)
    return _ratio(int((top > UNJUDGED).sum()), len(top))


def _cut(measure: Any, grades: Grades) -> Grades:
    cutoff = measure["cutoff"]
    return grades if cutoff is NOT_PROVIDED else grades[:cutoff]


def _relevant(measure: Any, grades: Grades) -> int:
    return int((grades >= measure["rel"]).sum())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


COMPUTE = {
    "nDCG": _ndcg,
    "AP": _average_precision,
    "P": _precision,
    "R": _recall,
    "RR": _reciprocal_rank,
    "ERR": _expected_reciprocal_rank,
    "Judged": _judged,
}
"""The name of a measure -> its value for one topic, from the grades as ranked and all grades descending."""
