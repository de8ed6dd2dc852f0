"""Exploration: a result page with some documents exchanged by chance, and the exact probability of what is shown.

Every policy moves documents among the first ranks of a page and leaves the rest. Which one was drawn is decided by a
seed, so the same page comes out of the same seed on every machine. The probabilities are *marginal*: that of this
document at this rank, over everything that the policy could have drawn.

    shuffle:5               the first 5 in any order (RandTop-n)
    adjacent:10             one of the 9 neighbouring pairs of the first 10, exchanged or not
    pair:10                 rank 1 and one of the ranks 2 to 10, exchanged or not (RandPair)
    plackett-luce:0.5:10    the first 10 drawn one after the other, by weights rank^(-1/0.5)

Shuffles tell most per page and cost searchers most; swaps cost next to nothing (Joachims et al., "Unbiased
learning-to-rank with biased feedback", WSDM 2017; Wang et al., WSDM 2018). A low temperature keeps the page nearly as
it was, and high ones come near to a shuffle.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from ranking.clicks.sessions import Floats

MOST: Final = 100
SAMPLED: Final = 12  # Plackett-Luce goes through all subsets of the documents


@dataclass(frozen=True, slots=True)
class Explored:
    """A page as it is to be shown: `order[k]` is the place (from 0) that the document at place k had before,
    `propensities[k]` the probability of that, `arm` what was drawn, by the name that estimators know."""

    order: tuple[int, ...]
    propensities: tuple[float, ...]
    arm: str


class Policy(Protocol):
    """A way to exchange documents."""

    def __hash__(self) -> int: ...

    def explore(self, length: int, seed: str) -> Explored:
        """A page of `length` documents."""
        ...

    def places(self, length: int) -> Floats:
        """The probability of every document (its place before) at every place, (length, length); sums are 1."""
        ...


def generator(*parts: str) -> np.random.Generator:
    """Random numbers that depend on these texts alone."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@dataclass(frozen=True, slots=True)
class Shuffle:
    """The first `top` documents in any order, all equally likely."""

    top: int

    def explore(self, length: int, seed: str) -> Explored:
        n = min(self.top, length)
        order = np.arange(length)
        order[:n] = generator("shuffle", seed).permutation(n)
        return _explored(self, order, f"shuffle:{n}" if n > 1 else "")

    def places(self, length: int) -> Floats:
        n = min(self.top, length)
        made = np.eye(length)
        made[:n, :n] = 1 / max(n, 1)
        return made


@dataclass(frozen=True, slots=True)
class Swap:
    """One pair of ranks, exchanged or not with probability 1/2: neighbours, or rank 1 and another (`first`)."""

    top: int
    first: bool = False

    def explore(self, length: int, seed: str) -> Explored:
        pairs = self._pairs(length)
        order = np.arange(length)
        if not pairs:
            return _explored(self, order, "")
        random = generator("pair" if self.first else "adjacent", seed)
        low, high = pairs[int(random.integers(len(pairs)))]
        if random.random() < 0.5:
            order[low], order[high] = high, low
        return _explored(self, order, f"{'pair' if self.first else 'adjacent'}:{low + 1}:{high + 1}")

    def places(self, length: int) -> Floats:
        made, pairs = np.eye(length), self._pairs(length)
        for low, high in pairs:
            chance = 0.5 / len(pairs)
            made[[low, high], [low, high]] -= chance
            made[[low, high], [high, low]] += chance
        return made

    def _pairs(self, length: int) -> list[tuple[int, int]]:
        n = min(self.top, length)
        return [(0 if self.first else place - 1, place) for place in range(1, n)]


@dataclass(frozen=True, slots=True)
class PlackettLuce:
    """The first `top` documents drawn one after the other, each with a probability in proportion to
    rank^(-1/temperature) among those that are left. Weights by rank mean the same for every ranker."""

    temperature: float
    top: int = 10

    def explore(self, length: int, seed: str) -> Explored:
        n = min(self.top, length)
        order = np.arange(length)
        keys = self._log_weights(n) + generator("plackett-luce", seed).gumbel(size=n)
        order[:n] = np.argsort(-keys, kind="stable")
        return _explored(self, order, f"plackett-luce:{self.temperature:g}:{n}" if n > 1 else "")

    def places(self, length: int) -> Floats:
        n = min(self.top, length)
        made = np.eye(length)
        if n > 1:
            made[:n, :n] = plackett_luce(tuple(self._log_weights(n).tolist()))
        return made

    def _log_weights(self, n: int) -> Floats:
        weights: Floats = -np.log(np.arange(1, n + 1)) / self.temperature
        return weights


@lru_cache(maxsize=256)
def plackett_luce(log_weights: tuple[float, ...]) -> Floats:
    """The probability of each of n documents at each of n places, shape (n, n), n <= SAMPLED; read-only.

    Exact: the probability that a set of documents fills the first places follows from those of the sets with one less.
    """
    n = len(log_weights)
    if n > SAMPLED:
        raise InputError(f"{n} documents are too many to know their probabilities.", f"Sample at most {SAMPLED}.")
    weights = np.exp(np.array(log_weights) - max(log_weights))
    sets = np.arange(1 << n)
    member = (sets[:, None] >> np.arange(n)) & 1 == 1
    left = (~member) @ weights  # of the documents that are not in the set yet; no difference that could cancel
    size, chance, made = member.sum(axis=1), np.zeros(1 << n), np.zeros((n, n))
    chance[0] = 1.0
    for place in range(n):
        filled = sets[size == place]
        for document in range(n):
            free = filled[~member[filled, document]]
            drawn = chance[free] * weights[document] / left[free]
            chance[free | (1 << document)] += drawn
            made[document, place] = drawn.sum()
    made.flags.writeable = False
    return made


def parse_policy(text: str) -> Policy:
    """A policy by its name, as above. Raises InputError for any other text."""
    kind, *given = text.split(":")
    try:
        match kind, given:
            case "shuffle", [top]:
                return Shuffle(_top(top))
            case (("adjacent" | "pair"), [top]):
                return Swap(_top(top), first=kind == "pair")
            case "plackett-luce", [temperature]:
                return PlackettLuce(_temperature(temperature))
            case "plackett-luce", [temperature, top]:
                return PlackettLuce(_temperature(temperature), _top(top, SAMPLED))
    except ValueError:
        pass
    raise InputError(
        f"There is no exploration policy {text!r}.",
        f"Use shuffle:N, adjacent:N, pair:N (N from 2 to {MOST}) or plackett-luce:TEMPERATURE:N (N up to {SAMPLED}).",
    )


def _top(text: str, most: int = MOST) -> int:
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= most:
        raise ValueError(text)
    return int(text)


def _temperature(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0.05 <= value <= 100):  # below, probabilities would round to 0
        raise ValueError(text)
    return value


def _explored(policy: Policy, order: npt.NDArray[np.integer], arm: str) -> Explored:
    chances = _places(policy, len(order))[order, np.arange(len(order))]
    return Explored(tuple(order.tolist()), tuple(chances.tolist()), arm)


@lru_cache(maxsize=256)
def _places(policy: Policy, length: int) -> Floats:
    return policy.places(length)


def share_of(key: str, salt: str) -> float:
    """Where a session (or whatever the key names) lies in [0, 1): always at the same place, and evenly over keys."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def reordered(items: Sequence[str], order: Sequence[int]) -> list[str]:
    """Items in the order of an Explored, and after them those that it does not speak of."""
    return [items[place] for place in order] + list(items[len(order) :])
