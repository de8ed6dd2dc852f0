"""Learning on an index: from judgements to what lies with its generation, where cross-validation confirms a gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from index.co_relevance import CoRelevance
from index.index import Index
from index.metric import Metric
from ranking.learning.co_relevance import CoRelevanceTraining, train_co_relevance
from ranking.learning.judged import Epoch, Gain
from ranking.learning.judged_topics import Judgements, Located, located
from ranking.learning.metric import MetricTraining, train_metric
from ranking.learning.prior import PriorTraining, train_prior

Outcome = dict[str, Any]
"""`plain` and `learned` nDCG@20 of topics set aside, the `standard_error` of the difference, how likely chance gains as
much (`p`), numbers that were learned, how many `topics` count of all `judged_topics`, how many judged documents the
index lacks (`missing_documents`), how many `folds`, and whether it is `kept`."""


def learn_metric(
    index: Index,
    judgements: Judgements,
    training: MetricTraining,
    *,
    force: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Outcome:
    """Learn a metric and keep it with the index where it gains; with `force` in any case. The outcome also names what
    was learned on the metric before and is `dropped` with it.

    Raises InputError where too few topics serve, and for an index without vectors; ConflictError where the index was
    built anew meanwhile.
    """
    found = located(index, judgements)
    learned = train_metric(found.vectors, found.topics, training, on_epoch)
    weights = {"query_weight": learned.query_weight, "negative_weight": learned.negative_weight}
    outcome = _outcome(learned.gain, found, training.folds, weights, force)
    metric = Metric(learned.matrix, found.space, _about(outcome, judgements, training.seed))
    return {**outcome, "dropped": index.learn(metric) if outcome["kept"] else []}


def learn_co_relevance(
    index: Index, judgements: Judgements, training: CoRelevanceTraining, *, force: bool = False
) -> Outcome:
    """The same for which documents are relevant together.

    Its strength is chosen in the conditioned space: a metric that has learned from the same topics would hide what
    there is to gain.
    """
    found = located(index, judgements)
    learned = train_co_relevance(found.vectors, found.topics, training)
    numbers: dict[str, float | list[float]] = {
        "first_page": list(learned.first_page),
        "with_feedback": list(learned.with_feedback),
        "strength": learned.strength,
        "rank": learned.factors.shape[1],
        "documents": len(learned.rows),
    }
    outcome = _outcome(learned.gain, found, training.folds, numbers, force)
    if outcome["kept"]:
        ids, about = [found.ids[row] for row in learned.rows], _about(outcome, judgements, training.seed)
        kept = CoRelevance(ids, learned.factors, learned.regression, learned.strength, found.space, about)
        index.learn(kept)
    return outcome


def learn_prior(
    index: Index,
    judgements: Judgements,
    training: PriorTraining,
    *,
    force: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Outcome:
    """The same for the prior of the probe, in the space that the index's metric makes.

    What is relevant together is left out: the topics to learn from made it, and a prior would trust it too much.
    """
    found = located(index, judgements, moved=True)
    learned = train_prior(found.vectors, found.topics, found.space, training, on_epoch)
    names = ("scale", "query_weight", "precision", "refused_weight")
    numbers = {name: float(getattr(learned.prior, name)) for name in names}
    outcome = _outcome(learned.gain, found, training.folds, {**numbers, "noise": list(learned.prior.noise)}, force)
    if outcome["kept"]:
        index.learn(learned.prior.noted(_about(outcome, judgements, training.seed)))
    return outcome


def _outcome(
    gain: Gain, found: Located, folds: int, numbers: Mapping[str, float | list[float]], force: bool
) -> Outcome:
    return {
        "plain": round(gain.plain, 4),
        "learned": round(gain.learned, 4),
        "standard_error": round(gain.error, 4),
        "p": round(gain.chance, 4),
        **{name: _rounded(value) for name, value in numbers.items()},
        "topics": gain.topics,
        "judged_topics": len(found.topics),
        "missing_documents": found.missing,
        "folds": folds,
        "kept": gain.confirmed or force,
    }


def _rounded(value: float | list[float]) -> float | list[float]:
    return [round(one, 4) for one in value] if isinstance(value, list) else round(value, 4)


def _about(outcome: Outcome, judgements: Judgements, seed: int) -> dict[str, Any]:
    return {"learned_from": judgements.source, "seed": seed, **outcome}
