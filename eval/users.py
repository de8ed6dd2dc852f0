"""Simulated searchers: who looks at a list of documents and clicks on some of them.

What a document is worth to a user is `gain`, from 0 to 1; what attracts the click also depends on noise: a user clicks
on an examined document with probability `noise + (1 - noise - misses) gain`. Every draw comes from the generator that
the caller passes, so a simulation can be repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.options import number

Gains: TypeAlias = npt.NDArray[np.float64]
Clicks: TypeAlias = npt.NDArray[np.bool_]


class User(Protocol):
    """One way of reading a result page. Options are the fields of a frozen dataclass (`ranking.options`)."""

    def clicks(self, gains: Gains, random: np.random.Generator) -> Clicks:
        """Which of n documents, in the order shown, are clicked: gains of shape (n,) to clicks of shape (n,)."""
        ...


@dataclass(frozen=True)
class Judge:
    """Clicks on every document of gain 0.5 or more, and on no other: explicit judgements in the clothes of clicks."""

    def clicks(self, gains: Gains, random: np.random.Generator) -> Clicks:
        return gains >= 0.5


@dataclass(frozen=True)
class PositionBased:
    """Examines rank r with probability r^-eta, whatever else is on the page, and clicks if attracted.

    Richardson et al., "Predicting clicks" (WWW 2007); Craswell et al. (WSDM 2008).
    """

    eta: float = number(1.0, low=0.0)
    noise: float = number(0.1, low=0.0, high=1.0)
    misses: float = number(0.1, low=0.0, high=1.0)

    def clicks(self, gains: Gains, random: np.random.Generator) -> Clicks:
        examined = np.arange(1.0, len(gains) + 1.0) ** -self.eta
        return random.random(len(gains)) < examined * attraction(gains, self.noise, self.misses)


@dataclass(frozen=True)
class Cascade:
    """Reads from the top, clicks on the first document that attracts, and leaves.

    Craswell et al., "An experimental comparison of click position-bias models" (WSDM 2008).
    """

    noise: float = number(0.1, low=0.0, high=1.0)
    misses: float = number(0.1, low=0.0, high=1.0)

    def clicks(self, gains: Gains, random: np.random.Generator) -> Clicks:
        attracted = random.random(len(gains)) < attraction(gains, self.noise, self.misses)
        first = np.zeros(len(gains), dtype=np.bool_)
        first[np.flatnonzero(attracted)[:1]] = True
        return first


@dataclass(frozen=True)
class DynamicBayesian:
    """Reads from the top, clicks on what attracts, leaves once satisfied, and otherwise goes on with `continuation`.

    A clicked document satisfies with probability `satisfaction` times its gain. Chapelle and Zhang, "A dynamic Bayesian
    network click model for web search ranking" (WWW 2009).
    """

    continuation: float = number(0.9, low=0.0, high=1.0)
    satisfaction: float = number(0.5, low=0.0, high=1.0)
    noise: float = number(0.1, low=0.0, high=1.0)
    misses: float = number(0.1, low=0.0, high=1.0)

    def clicks(self, gains: Gains, random: np.random.Generator) -> Clicks:
        attracted = random.random(len(gains)) < attraction(gains, self.noise, self.misses)
        satisfied = random.random(len(gains)) < self.satisfaction * gains
        stays = random.random(len(gains)) < self.continuation
        leaves = (attracted & satisfied) | ~stays
        read = np.concatenate([[True], ~np.logical_or.accumulate(leaves)[:-1]])[: len(gains)]
        clicked: Clicks = attracted & read
        return clicked


@dataclass(frozen=True)
class TrustBias:
    """Examines like `PositionBased`, and near the top trusts the order: there even what is not relevant gets clicks.

    P(click | examined, rank r) = gain (1 - misses) + (1 - gain) (noise + trust / r). Agarwal et al., "Addressing trust
    bias for unbiased learning-to-rank" (WWW 2019).
    """

    eta: float = number(1.0, low=0.0)
    trust: float = number(0.3, low=0.0, high=1.0)
    noise: float = number(0.1, low=0.0, high=1.0)
    misses: float = number(0.1, low=0.0, high=1.0)

    def clicks(self, gains: Gains, random: np.random.Generator) -> Clicks:
        ranks = np.arange(1.0, len(gains) + 1.0)
        believed = np.minimum(self.noise + self.trust / ranks, 1.0)
        wanted = gains * (1.0 - self.misses) + (1.0 - gains) * believed
        return random.random(len(gains)) < ranks**-self.eta * wanted


USERS: Mapping[str, type[User]] = {
    "judge": Judge,
    "position-based": PositionBased,
    "cascade": Cascade,
    "dynamic-bayesian": DynamicBayesian,
    "trust-bias": TrustBias,
}


def attraction(gains: Gains, noise: float, misses: float) -> Gains:
    """The probability of a click on an examined document, shape (n,)."""
    return np.clip(noise + (1.0 - noise - misses) * gains, 0.0, 1.0)


def gains_of(grades: npt.NDArray[np.int64], highest: int) -> Gains:
    """What documents of these grades are worth, (2^grade - 1) / (2^highest - 1): shape (n,), from 0 to 1."""
    gains: Gains = (np.exp2(np.maximum(grades, 0)) - 1.0) / (2.0 ** max(highest, 1) - 1.0)
    return gains


def generator(*parts: object) -> np.random.Generator:
    """A random generator for these parts (a seed, a topic, a round): the same on every machine."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
