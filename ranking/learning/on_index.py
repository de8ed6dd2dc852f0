"""Learning on an index: from judgements to what lies with its generation, where cross-validation confirms a gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from index.index import Index
from index.metric import Metric
from ranking.learning.judged import Epoch, Gain
from ranking.learning.judged_topics import topics_of
from ranking.learning.metric import MetricTraining, train_metric
from ranking.learning.prior import PriorTraining, train_prior

Queries = Mapping[str, str]
Qrels = Mapping[str, Mapping[str, int]]
Outcome = dict[str, Any]
"""`plain` and `learned` nDCG@20 of topics set aside, the `standard_error` of the difference, numbers that were learned,
how many `topics` and `folds`, and whether it is `kept`."""


def learn_metric(
    index: Index,
    queries: Queries,
    qrels: Qrels,
    training: MetricTraining,
    *,
    relevant: int = 1,
    source: str = "",
    force: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Outcome:
    """Learn a metric from topic -> text and topic -> document -> grade, and keep it with the index where it gains.

    `relevant` is the least grade that is relevant, `source` a word on where the judgements come from, for the record.
    `force` keeps it in any case. Raises InputError where too few topics serve, and for an index without vectors.
    """
    vectors, topics = topics_of(index, queries, qrels, relevant)
    found = train_metric(vectors, topics, training, on_epoch)
    weights = {"query_weight": found.query_weight, "negative_weight": found.negative_weight}
    outcome = _outcome(found.gain, training.folds, weights, force)
    space = index.view().vectors
    if outcome["kept"] and space is not None:
        index.learn(Metric(found.matrix, space.space_digest, _about(outcome, source, training.seed)))
    return outcome


def learn_prior(
    index: Index,
    queries: Queries,
    qrels: Qrels,
    training: PriorTraining,
    *,
    relevant: int = 1,
    source: str = "",
    force: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Outcome:
    """The same for the prior of the probe, in the space that the index's metric makes."""
    vectors, topics = topics_of(index, queries, qrels, relevant, learned=True)
    view = index.view().vectors
    found = train_prior(vectors, topics, "" if view is None else view.learned_digest, training, on_epoch)
    names = ("scale", "query_weight", "precision", "refused_weight")
    numbers = {name: float(getattr(found.prior, name)) for name in names}
    outcome = _outcome(found.gain, training.folds, {**numbers, "noise": list(found.prior.noise)}, force)
    if outcome["kept"]:
        index.learn_prior(found.prior.noted(_about(outcome, source, training.seed)))
    return outcome


def _outcome(gain: Gain, folds: int, numbers: Mapping[str, float | list[float]], force: bool) -> Outcome:
    return {
        "plain": round(gain.plain, 4),
        "learned": round(gain.learned, 4),
        "standard_error": round(gain.error, 4),
        **{name: _rounded(value) for name, value in numbers.items()},
        "topics": gain.topics,
        "folds": folds,
        "kept": gain.confirmed or force,
    }


def _rounded(value: float | list[float]) -> float | list[float]:
    return [round(one, 4) for one in value] if isinstance(value, list) else round(value, 4)


def _about(outcome: Outcome, source: str, seed: int) -> dict[str, str]:
    return {"learned_from": source, "seed": str(seed), **{name: str(value) for name, value in outcome.items()}}
