"""Whether a log can speak about a policy at all: what it never shows can be given no weight.

That the target policy does nothing which the logging policy never does is the one assumption that all reweighting
needs (common support, or absolute continuity; Owen, "Monte Carlo theory, methods and examples", 2013, section 9.1).
A log proves it wrong where its propensities leave no room for more than what it shows, and where they leave more room
than can have gone unseen by chance. Otherwise what was not seen may be chance, and the mean weight tells: its
expectation is the probability that the target policy gives to what the logging policy does at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from eval.log.labels import FloatArray, IntArray, combine
from eval.log.table import Log
from eval.log.target import Target
from index.errors import InputError

ROUNDING: Final = 1e-9  # probability that is too little to be called missing
NO_ROOM: Final = 1e-3  # what propensities may lack to 1 and still be the whole policy
ERRORS: Final = 4.0  # standard errors of the mean weight that chance does not exceed
DOUBT: Final = 0.01  # how much may be missing beyond what is allowed, for all that the weights can tell


class SupportError(InputError):
    """The target policy does what the log has never seen. `missing` is how much of its probability that may be."""

    kind = "missing-support"

    def __init__(self, message: str, advice: str, missing: float) -> None:
        super().__init__(message, advice)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Support:
    """How much of the target policy the log says nothing about, as a mean over the rows of the log.

    `unseen` is the probability that the policy gives to actions which the log does not show at that position in that
    context; `actions` are the ones with most of it, with their share. `missing` is the part of it that the logging
    policy never shows: where the propensities of what the log shows sum to 1, or everywhere if the log shows less than
    its propensities say that it would.
    """

    missing: float
    unseen: float
    actions: dict[str, float]


@dataclass(frozen=True, slots=True)
class MeanWeight:
    """The mean of the importance weights, which is 1 if nothing is missing, and its standard error over the pages."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, log: Log, weight: FloatArray) -> MeanWeight:
        mean = float(weight.mean())
        _, page = np.unique(log.page, return_inverse=True)
        off = np.bincount(page, weights=weight - mean)
        return cls(mean, float(np.sqrt(off @ off)) / len(weight))

    @property
    def most_missing(self) -> float:
        """The most that can be missing for all that the weights tell: one minus the mean, and a margin for chance."""
        return min(1.0, max(0.0, 1 - self.value + ERRORS * self.standard_error))

    @property
    def least_missing(self) -> float:
        return max(0.0, 1 - self.value - ERRORS * self.standard_error)


def support(log: Log, target: Target) -> Support:
    """What of a policy the log does not show. The log must have propensities."""
    assert log.propensity is not None
    places = combine(target.situation, log.position.codes)
    _, first, times = np.unique(places, return_index=True, return_counts=True)
    size = len(target.actions)
    seen, which, shown = np.unique(places * size + log.action.codes, return_inverse=True, return_counts=True)
    # Where the propensities of one action vary, their mean is over the rows that show it, and so rather too high:
    # this can only make the judgement stricter.
    propensity = np.bincount(which, weights=log.propensity) / shown
    room = np.maximum(0.0, 1 - np.bincount(seen // size, weights=propensity))
    closed = (room <= NO_ROOM) | (not _by_chance(room, times, shown))
    owner, entry = target.entries(target.situation[first])
    action = target.action[entry]
    lost = np.where(np.isin(owner * size + action, seen), 0.0, target.probability[entry]) * times[owner] / len(log)
    by_action = np.bincount(action, weights=lost, minlength=size)
    worst = [int(code) for code in np.argsort(-by_action, kind="stable")[:3] if by_action[code] > 0]
    return Support(
        missing=float(lost[closed[owner]].sum()),
        unseen=float(lost.sum()),
        actions={target.actions[code]: float(by_action[code]) for code in worst},
    )


def _by_chance(room: FloatArray, rows: IntArray, shown: IntArray) -> bool:
    """Whether so much probability can have gone unseen, given how often each action at each place was shown.

    What was shown once tells how much was not shown at all: the expectation of the unseen probability is the share of
    rows that show what no other row shows (Good, "The population frequencies of species", Biometrika 1953). `room` is
    what the propensities leave, by place, and `rows` are the rows there. All places count, also those without room:
    they have none because there chance has shown all.
    """
    once, twice = int((shown == 1).sum()), int((shown == 2).sum())
    return float(rows @ room) <= once + ERRORS * math.sqrt(once + 2 * twice + 1)


def refuse_missing(name: str, found: Support | None, mean: MeanWeight, allowed: float) -> None:
    """Raise SupportError if more of the policy `name` than `allowed` is missing, or may be for all that is known.

    Without `found` only the probabilities of what was logged are known, and the mean weight alone decides.
    """
    if found is None:
        missing = 1 - mean.value
        refused = mean.least_missing > allowed + ROUNDING
        why = (
            f"its weights have the mean {mean.value:.3f}, not 1, so about {missing:.2%} of the probability of {name} is"
        )
        why += " on what the log never shows (or its propensities are wrong)."
    elif found.missing > allowed + ROUNDING:
        missing, refused = found.missing, True
        why = (
            f"{missing:.2%} of the probability of {name} is on what the logging policy never shows at that position in"
        )
        why += f" that context, most of it on {_worst(found)}."
    else:
        missing = min(found.unseen, mean.most_missing)
        refused = found.unseen > allowed + ROUNDING and mean.most_missing > allowed + DOUBT
        why = f"{found.unseen:.2%} of the probability of {name} is on what it does not show at that position in that"
        why += f" context, most of it on {_worst(found)}; that may be chance, but up to {missing:.2%} may be missing."
    if refused:
        raise SupportError(
            f"The log cannot answer: {why}",
            "Use a log that shows these, or allow for it with --max-missing and read the answer as that much too low.",
            missing,
        )


def _worst(found: Support) -> str:
    return ", ".join(f"{action} ({share:.2%})" for action, share in found.actions.items())
