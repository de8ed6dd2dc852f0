"""Measures by their names in ir_measures, one value per topic.

The conventions are trec_eval's: every topic with judgements counts, with 0 where a run has nothing for it; documents of
equal score are ordered by their number, descending; unjudged documents are not relevant. `nDCG` has linear gains, as
trec_eval has them; `nDCG(dcg='exp-log2')` has gains of 2^grade - 1. Measures of binary relevance take the collection's
least relevant grade unless they name their own, as in `P(rel=2)@10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from index.types import Ranking

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Topic -> document -> grade, 0 or more."""
Run: TypeAlias = Mapping[str, Ranking]
"""Topic -> the documents ranked for it."""
Values: TypeAlias = dict[str, npt.NDArray[np.float64]]
"""Measure -> its value for each topic, in the order of the topics."""

DEFAULTS = (
    "nDCG@20",
    "nDCG(dcg='exp-log2')@20",
    "AP@100",
    "P@10",
    "R@100",
    "RR",
    "ERR@20",
    "Judged@20",
)
ADVICE = "Write it as ir_measures does: nDCG@20, AP, P@10, R@100, RR, ERR@20, Judged@20."


def measure_all(
    names: Sequence[str], qrels: Qrels, run: Run, relevant: int = 1, topics: Sequence[str] | None = None
) -> Values:
    """Every measure for every topic, shape (topics,) each.

    `topics` are those of the qrels unless given; `relevant` is the least grade that counts as relevant. A ranking is
    taken in its order, whatever its scores. Raises InputError for a name that ir_measures does not know.
    """
    order = list(qrels) if topics is None else list(topics)
    # Descending whole numbers say the order; a topic without documents must be absent, as Judged would divide by zero.
    found = {
        topic: dict(zip(ranking.ids, range(len(ranking), 0, -1), strict=True))
        for topic, ranking in run.items()
        if len(ranking)
    }
    return measure_scores(names, {topic: qrels.get(topic, {}) for topic in order}, found, relevant)


def measure_scores(
    names: Sequence[str], qrels: Qrels, run: Mapping[str, Mapping[str, float]], relevant: int = 1
) -> Values:
    """As `measure_all`, for scores by topic and document: trec_eval's order, for the topics of the qrels."""
    measures = {name: with_cut(parse(name), relevant) for name in names}
    wanted = set(measures.values())
    position = {topic: i for i, topic in enumerate(qrels)}
    values = {measure: np.zeros(len(position)) for measure in wanted}
    for topic, measure, value in _provider().evaluator(wanted, qrels).iter_calc(run):
        if topic in position:
            values[measure][position[topic]] = value
    return {name: values[measure] for name, measure in measures.items()}


def canonical(names: Iterable[str]) -> tuple[str, ...]:
    """The names as ir_measures writes them, each once. Raises InputError for an unknown one."""
    return tuple(dict.fromkeys(str(parse(name)) for name in names))


def parse(name: str) -> Any:
    """The measure of that name. Raises InputError where there is none, or none that can be computed here."""
    import ir_measures

    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()
    except (ValueError, NameError, SyntaxError, AssertionError, TypeError):
        raise InputError(f"There is no measure {name!r}.", ADVICE) from None
    if not _provider().supports(measure):
        raise InputError(f"The measure {name!r} cannot be computed here.", ADVICE)
    return measure


def with_cut(measure: Any, relevant: int) -> Any:
    """The measure with the collection's least relevant grade, unless it names its own or is graded."""
    if relevant != 1 and "rel" in measure.SUPPORTED_PARAMS and "rel" not in measure.params:
        return measure(rel=relevant)
    return measure


@cache
def _provider() -> Any:
    """Ours first; whatever it does not know goes to those of ir_measures."""
    import ir_measures

    from eval.provider import ArrayProvider

    return ir_measures.providers.FallbackProvider([ArrayProvider(), *ir_measures.DefaultPipeline.providers])
