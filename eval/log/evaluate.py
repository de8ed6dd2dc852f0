"""The value of a policy from the log of another one, with all that says how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eval.log.bootstrap import Interval, bootstrap, refitted
from eval.log.estimators import MODELLING, WEIGHTING, Parts, Rows
from eval.log.labels import FloatArray
from eval.log.model import RewardModel
from eval.log.policy import Policy
from eval.log.support import ERRORS, ROUNDING, MeanWeight, Support, refuse_missing, support
from eval.log.table import Log
from eval.log.target import Target, lay
from index.errors import InputError

FEW_ROWS = 100  # an effective sample below this is called small
REFITS = 200  # bootstrap samples in which the reward model is fitted anew, at most


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate. Raises InputError for values without sense.

    `clip` is the highest weight of the clipped estimators. `confidence` is that of the intervals, from `resamples`
    bootstrap samples (of which the direct method, which is fitted anew in each, uses the first 200). `folds` are those
    of the reward model's cross-fitting. `max_missing` is how much of the target policy's probability may lie on what
    the logging policy never does before the answer is refused.
    """

    clip: float = 10.0
    confidence: float = 0.95
    resamples: int = 1000
    folds: int = 5
    seed: int = 0
    max_missing: float = 0.0

    def __post_init__(self) -> None:
        checks = {
            "clip": (self.clip > 0, "Give a weight above 0; 10 is usual."),
            "confidence": (0 < self.confidence < 1, "Give a share between 0 and 1; 0.95 is usual."),
            "resamples": (self.resamples >= 1, "Give 1 or more; 1000 is usual."),
            "folds": (self.folds >= 2, "Give 2 or more; 5 is usual."),
            "seed": (self.seed >= 0, "Give 0 or more."),
            "max_missing": (0 <= self.max_missing < 1, "Give a share from 0 to below 1."),
        }
        for name, (fine, advice) in checks.items():
            if not fine:
                raise InputError(f"A {name.replace('_', ' ')} of {getattr(self, name)} has no sense.", advice)


@dataclass(frozen=True, slots=True)
class Weights:
    """The importance weights: their mean (1 if the propensities are true and nothing is missing) with its standard
    error, the largest one, and what clipping does.

    `effective_rows` is Kish's sample size, sum(w)^2 / sum(w^2): how many unweighted rows would tell as much.
    `clipped_rows` is the share of rows with a weight above the clip, `clipped_weight` the share of all weight cut off.
    """

    mean: float
    mean_error: float
    maximum: float
    effective_rows: float
    clip: float
    clipped_rows: float
    clipped_weight: float


@dataclass(frozen=True, slots=True)
class Truth:
    """The target policy's own log: its mean reward, and how far each estimate is from it.

    `relative_error` is (estimate - truth) / truth, with an interval that counts the chance in both logs.
    """

    source: str
    rows: int
    value: Interval
    relative_error: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Report:
    """The answer. Values are mean rewards per row, with clicks the click rate of a document shown.

    `logging` is the value of the policy that wrote the log. `estimates` has the target's value by estimator; `support`
    is None where only the target's probabilities of what was logged are known.
    """

    log: str
    rows: int
    pages: int
    target: str
    confidence: float
    resamples: int
    seed: int
    logging: Interval
    estimates: dict[str, Interval]
    weights: Weights
    support: Support | None
    truth: Truth | None = None
    warnings: tuple[str, ...] = field(default=())


def evaluate(log: Log, policy: Policy | None, options: Options | None = None, truth: Log | None = None) -> Report:
    """The value of a policy, had it been shown instead of the one that wrote the log.

    Without a `policy` the log's own target probabilities are taken, which is enough for the estimators that only
    weigh. `truth` is a log of the target policy itself, to compare with.

    Raises SupportError if more than `max_missing` of the target's probability is on what the logging policy never does,
    as far as can be told (`eval.log.support`). Raises InputError for a log without propensities, and for a policy that
    does not fit to the log.
    """
    options = options or Options()
    if log.propensity is None:
        raise InputError(
            f"{log.source} has no propensities: nobody knows with which probability its rows were shown.",
            "Log them, or say which column has them with --column propensity=NAME.",
        )
    target = None if policy is None else lay(policy, log)
    name = "the target" if policy is None else policy.name
    weight = _logged(log, target) / log.propensity
    mean = MeanWeight.of(log, weight)
    found = None if target is None else support(log, target)
    refuse_missing(name, found, mean, options.max_missing)

    model = None if target is None else RewardModel(log, target, options.folds, options.seed)
    expected, factual = (None, None) if model is None else model.fit()
    rows = Rows(weight, np.minimum(weight, options.clip), log.reward, expected, factual)
    chosen = WEIGHTING | (MODELLING if model else {})
    parts = {key: estimator(rows) for key, estimator in chosen.items()} | {"logging": _mean(log.reward)}
    samples = bootstrap(parts, log.page, options.resamples, options.seed)
    if model is not None:
        # It is nothing but the model, so the model's chance must show; the doubly robust ones hardly move with it.
        samples["dm"] = refitted(model.value, log.page, min(options.resamples, REFITS), options.seed)
    intervals = {key: Interval.of(part.value(), samples[key], options.confidence) for key, part in parts.items()}
    weights = _weights(rows, mean, options.clip)
    return Report(
        log=log.source,
        rows=len(log),
        pages=len(np.unique(log.page)),
        target=name,
        confidence=options.confidence,
        resamples=options.resamples,
        seed=options.seed,
        logging=intervals["logging"],
        estimates={key: intervals[key] for key in chosen},
        weights=weights,
        support=found,
        truth=None if truth is None else _compare(intervals, samples, list(chosen), truth, options),
        warnings=tuple(_warnings(weights, mean, found, int(np.isnan(samples["snips"]).sum()))),
    )


def _logged(log: Log, target: Target | None) -> FloatArray:
    probability = log.target if target is None else target.logged
    if probability is None:
        raise InputError("There is neither a target policy nor a column of its probabilities.", "Give one of them.")
    return probability


def _mean(values: FloatArray) -> Parts:
    return Parts(np.zeros_like(values), values, np.ones_like(values))


def _weights(rows: Rows, mean: MeanWeight, clip: float) -> Weights:
    weight = rows.weight
    total, squares = float(weight.sum()), float(weight @ weight)
    return Weights(
        mean=mean.value,
        mean_error=mean.standard_error,
        maximum=float(weight.max()),
        effective_rows=total**2 / squares if squares else 0.0,
        clip=clip,
        clipped_rows=float((weight > clip).mean()),
        clipped_weight=1 - float(rows.clipped.sum()) / total if total else 0.0,
    )


def _compare(
    intervals: dict[str, Interval], samples: dict[str, FloatArray], names: list[str], truth: Log, options: Options
) -> Truth:
    own = _mean(truth.reward)
    # Another seed: the two logs are independent, and so must be their samples.
    drawn = bootstrap({"own": own}, truth.page, options.resamples, options.seed + 1)["own"]
    value = Interval.of(own.value(), drawn, options.confidence)
    if value.value == 0:
        raise InputError(
            f"{truth.source} has a mean reward of 0: nothing can be relative to it.", "Compare with a longer log."
        )
    errors = {}
    for name in names:
        drawn_too = drawn[: len(samples[name])]
        off = np.divide(samples[name] - drawn_too, drawn_too, out=np.full(len(drawn_too), np.nan), where=drawn_too != 0)
        errors[name] = Interval.of((intervals[name].value - value.value) / value.value, off, options.confidence)
    return Truth(source=truth.source, rows=len(truth), value=value, relative_error=errors)


def _warnings(weights: Weights, mean: MeanWeight, found: Support | None, undefined: int) -> list[str]:
    said = []
    if found is not None and found.unseen > ROUNDING:
        most = max(found.missing, min(found.unseen, mean.most_missing))
        said.append(
            f"{found.unseen:.2%} of the target's probability is on what the log does not show; up to {most:.2%} may be"
            " missing from every estimate that weighs."
        )
    elif abs(mean.value - 1) > ERRORS * mean.standard_error + ROUNDING:
        said.append(f"The mean weight is {mean.value:.3f} where 1 is expected: the propensities may be wrong.")
    if weights.effective_rows < FEW_ROWS:
        said.append(f"The weights leave an effective sample of {weights.effective_rows:.0f} rows: trust no digit.")
    if undefined:
        said.append(f"{undefined} bootstrap samples had only weights of 0; the intervals leave them out.")
    return said
