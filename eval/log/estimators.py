"""The estimators of a policy's value, that is of the mean reward of a row had the target policy chosen it.

In all of them w = target probability / propensity of the logged action, r is the reward, q(x, a) a model of it, and
q(x) the mean of q(x, a) over the actions by the target's probabilities. Each is written as two means over the rows,

    value = mean(base) + sum(top) / sum(bottom),

so that one bootstrap serves them all and also resamples what a self-normalised estimator divides by.

For rankings each row is one document at one position: the reward of a document may depend on what it is, where it
stands and the context, not on the other documents of the page (the item-position model of Li et al., "Offline
evaluation of ranking policies with click models", KDD 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.log.labels import FloatArray
from index.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What the estimators see of n rows, each of shape (n,).

    `weight` is w, `clipped` is min(w, clip), `reward` is r; `expected` is q(x) and `factual` is q(x, a logged), None
    without a model.
    """

    weight: FloatArray
    clipped: FloatArray
    reward: FloatArray
    expected: FloatArray | None = None
    factual: FloatArray | None = None

    @property
    def surprise(self) -> FloatArray:
        """r - q(x, a logged). Raises InputError without a model."""
        if self.factual is None:
            raise InputError("This estimator needs a model of the reward.", "Give the whole policy, not one column.")
        return self.reward - self.factual

    @property
    def modelled(self) -> FloatArray:
        """q(x). Raises InputError without a model."""
        if self.expected is None:
            raise InputError("This estimator needs a model of the reward.", "Give the whole policy, not one column.")
        return self.expected


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """An estimate in parts, each of shape (n,): mean(base) + sum(top) / sum(bottom)."""

    base: FloatArray
    top: FloatArray
    bottom: FloatArray

    def value(self) -> float:
        """The estimate. Raises InputError if it is not defined because all weights are 0."""
        bottom = float(self.bottom.sum())
        if bottom <= 0:
            raise InputError(
                "Every row has weight 0: the target policy never does what the log shows.",
                "Use a log that has what the policy shows.",
            )
        return float(self.base.mean() + self.top.sum() / bottom)


def ips(rows: Rows) -> Parts:
    """Inverse propensity scoring, mean(w r): unbiased with true propensities and full support.

    Horvitz & Thompson, "A generalization of sampling without replacement from a finite universe", JASA 1952.
    """
    return _weighted(rows.weight, rows.reward)


def clipped_ips(rows: Rows) -> Parts:
    """IPS with weights cut off at the clip: less variance, and too low for rewards that are not negative.

    Ionides, "Truncated importance sampling", JCGS 2008; Bottou et al., "Counterfactual reasoning", JMLR 2013.
    """
    return _weighted(rows.clipped, rows.reward)


def snips(rows: Rows) -> Parts:
    """Self-normalised IPS, sum(w r) / sum(w): moves with the rewards when a constant is added to them.

    Swaminathan & Joachims, "The self-normalized estimator for counterfactual learning", NIPS 2015.
    """
    return Parts(np.zeros_like(rows.reward), rows.weight * rows.reward, rows.weight)


def direct(rows: Rows) -> Parts:
    """The direct method, mean(q(x)): little variance, and as biased as the model is wrong.

    Dudík, Langford & Li, "Doubly robust policy evaluation and learning", ICML 2011.
    """
    return Parts(rows.modelled, np.zeros_like(rows.reward), np.ones_like(rows.reward))


def doubly_robust(rows: Rows) -> Parts:
    """mean(q(x) + w (r - q(x, a))): unbiased if the propensities are true or the model is.

    Dudík, Erhan, Langford & Li, "Doubly robust policy evaluation and optimization", Statistical Science 2014.
    """
    return _weighted(rows.weight, rows.surprise, rows.modelled)


def clipped_doubly_robust(rows: Rows) -> Parts:
    """The doubly robust estimate with weights cut off at the clip.

    The pessimistic shrinkage of Su, Dimakopoulou, Krishnamurthy & Dudík, "Doubly robust off-policy evaluation with
    shrinkage", ICML 2020.
    """
    return _weighted(rows.clipped, rows.surprise, rows.modelled)


def self_normalised_doubly_robust(rows: Rows) -> Parts:
    """mean(q(x)) + sum(w (r - q(x, a))) / sum(w).

    Thomas & Brunskill, "Data-efficient off-policy policy evaluation for reinforcement learning", ICML 2016 (weighted
    doubly robust), for one step.
    """
    return Parts(rows.modelled, rows.weight * rows.surprise, rows.weight)


def _weighted(weight: FloatArray, reward: FloatArray, base: FloatArray | None = None) -> Parts:
    return Parts(np.zeros_like(reward) if base is None else base, weight * reward, np.ones_like(reward))


Estimator = Callable[[Rows], Parts]

WEIGHTING: dict[str, Estimator] = {"ips": ips, "clipped_ips": clipped_ips, "snips": snips}
"""Estimators that need only the probabilities of what was logged."""

MODELLING: dict[str, Estimator] = {
    "dm": direct,
    "dr": doubly_robust,
    "clipped_dr": clipped_doubly_robust,
    "sndr": self_normalised_doubly_robust,
}
"""Estimators that need a model of the reward, and so the whole target policy."""
