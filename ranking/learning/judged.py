"""What learning from an index's own judgements shares: topics, their episodes, and whether a gain is confirmed.

An episode is like what is to be served: k relevant and k refused documents of a topic are its feedback, and the topic's
other relevant documents have to come before the refused and before random ones. Judged topics are few, so none is set
aside for good: cross-validation measures each while it is not learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from index.errors import InputError

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating]
Values = npt.NDArray[np.float64]

SIZES = (1, 2, 4, 8)  # how many documents of each kind an episode gives
CUT = 20
_DISCOUNTS = 1.0 / np.log2(np.arange(2.0, CUT + 2.0))
_FEWEST = 16  # topics
_LEVEL, _RESAMPLES = 0.05, 2000  # of the test whether a gain is more than chance


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """One query: its vector (dimension,), the rows of its relevant documents, and of others, retrieved or judged, that
    are not relevant, the most alike first.

    `condensed`: nobody has looked at any other document, so it is neither good nor bad, and where a gain is measured
    these alone are ranked (Sakai, "Alternatives to Bpref", SIGIR 2007). Ranked among all, a document that was never
    shown would count as a mistake, and whatever departs from the ranking that people were shown would lose.
    """

    query: Vectors
    relevant: Rows
    refused: Rows
    condensed: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows of documents: given as relevant, given as refused, to be found, to come after those."""

    given: Rows
    refused: Rows
    targets: Rows
    others: Rows


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch came to: the mean loss, and nDCG@20 of the topics that were set aside."""

    number: int
    loss: float
    ndcg: float


@dataclass(frozen=True, slots=True)
class Gain:
    """nDCG@20 of topics that were not learned from, without and with what was learned, the standard error of the
    difference, and the `chance` that judgements which say nothing would come to such a gain.

    It is `confirmed` where that is at most 5 %.
    """

    plain: float
    learned: float
    error: float
    topics: int
    chance: float

    @classmethod
    def of(cls, plain: Values, learned: Values, best: int) -> Gain:
        """Of the `best` of several choices, from the values of the topics: (choices, n), `plain` also (n,)."""
        plain = np.broadcast_to(plain, learned.shape)
        gains = learned - plain
        error = float(gains[best].std(ddof=1) / np.sqrt(gains.shape[1]))
        return cls(
            float(plain[best].mean()), float(learned[best].mean()), error, gains.shape[1], chance_of(gains, best)
        )

    @property
    def confirmed(self) -> bool:
        return self.chance <= _LEVEL


def chance_of(gains: Values, best: int) -> float:
    """How likely, by chance alone, any of the choices gains as clearly as the `best` does: `gains` (choices, n).

    A randomisation test: without an effect each topic's gains are as likely to have the other sign. The largest of the
    means, each in units of its own spread, is compared, for they were looked at to choose (maxT of Westfall and Young,
    "Resampling-based multiple testing", 1993).
    """
    random = np.random.default_rng(0)
    scaled = gains / np.maximum(np.linalg.norm(gains, axis=1, keepdims=True), 1e-9)
    found = float(scaled[best].sum()) - 1e-9
    signs = (random.choice((-1.0, 1.0), gains.shape[1]) for _ in range(_RESAMPLES))
    larger = sum(float((scaled @ sign).max()) >= found for sign in signs)
    return (1 + larger) / (1 + _RESAMPLES)


class Learner(Protocol):
    """Something that is learned in epochs."""

    def epoch(self, topics: Sequence[Topic]) -> float:
        """One pass over the topics; the mean loss."""
        ...

    def quality(self, topics: Sequence[Topic]) -> Values:
        """nDCG@20 of the topics as `mean_ndcg` has it, shape (n,)."""
        ...


L = TypeVar("L", bound=Learner)


def cross_validated(
    start: Callable[[], L],
    topics: Sequence[Topic],
    epochs: int,
    folds: int,
    seed: int,
    what: str,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[L, Gain]:
    """What is learned from all topics, in as many epochs as cross-validation finds best, and what it gains there.

    `start` gives a learner that has learned nothing: one for each of the `folds`, which side by side learn from the
    other folds' topics, and one for the answer. The number of epochs is all that the topics set aside choose.
    Raises InputError where too few topics have two relevant documents and one that is not, and for more folds than
    topics.
    """
    chosen = usable(topics, f"a {what}", seed)
    fold = folded(len(chosen), folds, seed)
    values = np.zeros((epochs + 1, len(chosen)))
    parts = []
    for number in range(folds):
        aside = np.flatnonzero(fold == number)
        parts.append((start(), [chosen[i] for i in np.flatnonzero(fold != number)], aside))
    with one_core():
        for epoch in range(epochs + 1):
            losses = []
            for learner, taught, aside in parts:
                losses.append(learner.epoch(taught) if epoch else 0.0)
                values[epoch, aside] = learner.quality([chosen[i] for i in aside])
            if on_epoch and epoch:
                on_epoch(Epoch(epoch, float(np.mean(losses)), float(values[epoch].mean())))
        best = int(np.argmax(values.mean(axis=1)))
        answer = start()
        for _ in range(best):
            answer.epoch(chosen)
    return answer, Gain.of(values[0], values, best)


def usable(topics: Sequence[Topic], what: str, seed: int, *, refusing: bool = True) -> list[Topic]:
    """The topics that can be learned from: those with two relevant documents and, where `refusing`, one that is not.

    Their relevant documents come in random order, the first of which are given where a gain is measured. Were those
    most like the query given, the ones left to find would be less like it than chance has it, and whatever makes the
    query count for less would gain, also from judgements that say nothing.
    Raises InputError where they are too few to learn `what`.
    """
    random = np.random.default_rng(seed)
    found = [
        replace(topic, relevant=random.permutation(topic.relevant))
        for topic in topics
        if len(topic.relevant) >= 2 and (len(topic.refused) or not refusing)
    ]
    if len(found) < _FEWEST:
        raise InputError(
            f"Only {len(found)} topics have two relevant documents{' and one that is not' * refusing}, "
            f"too few to learn {what}.",
            f"Judge {_FEWEST} topics or more{', with grade 0 what is not relevant' * refusing}.",
        )
    return found


def folded(topics: int, folds: int, seed: int) -> Rows:
    """In which fold each of so many topics is, shape (n,). Raises InputError for more folds than topics."""
    if folds > topics:
        raise InputError(f"{folds} folds are more than the {topics} topics to learn from.", "Take fewer folds.")
    fold: Rows = np.random.default_rng(seed).permutation(topics) % folds
    return fold


def drawn(topic: Topic, documents: int, targets: int, negatives: int, random: np.random.Generator) -> Drawn:
    """An episode of a topic, with up to so many targets, retrieved documents and random ones of all `documents`."""
    relevant = random.permutation(topic.relevant)
    k = min(int(random.choice(SIZES)), len(relevant) // 2)
    refused = random.permutation(topic.refused[:CUT])[:k]
    retrieved = random.permutation(topic.refused)[:negatives]
    strangers = random.integers(0, documents, negatives)
    strangers = strangers[~np.isin(strangers, topic.relevant)]
    others = np.concatenate([retrieved, strangers]).astype(np.int64)
    return Drawn(relevant[:k], refused, relevant[k : k + targets], others)


def mean_ndcg(topics: Sequence[Topic], scores: Callable[[Topic, Rows, Rows], Scores], refusing: bool) -> Values:
    """nDCG@20 of the residual collection, per topic the mean over k = 2, 4, 8 as far as the topic allows.

    `scores` gives those of all documents from a topic and its feedback: the first k relevant documents and, where
    `refusing`, as many refused ones. The feedback is neither ranked nor counted.
    """
    values = np.zeros(len(topics))
    for i, topic in enumerate(topics):
        found = []
        for k in sorted({min(k, len(topic.relevant) - 1) for k in SIZES[1:]}):
            refused = topic.refused[:k] if refusing else topic.refused[:0]
            found.append(residual_ndcg(np.array(scores(topic, topic.relevant[:k], refused)), topic, k, refused))
        values[i] = np.mean(found)
    return values


def residual_ndcg(scores: Scores, topic: Topic, k: int, refused: Rows) -> float:
    """nDCG@20 of scores of all documents (n,), which are overwritten, where the first k relevant ones and the refused
    are given: neither ranked nor counted."""
    scores[topic.relevant[:k]] = scores[refused] = -np.inf
    if topic.condensed:
        candidates = np.sort(np.concatenate([topic.relevant, topic.refused]))
    else:
        candidates = np.argpartition(-scores, min(CUT, len(scores)) - 1)[:CUT]
    best = candidates[np.argsort(-scores[candidates], kind="stable")][:CUT]
    hits = np.isin(best, topic.relevant[k:])
    ideal = _DISCOUNTS[: min(CUT, len(topic.relevant) - k)].sum()
    return float(hits @ _DISCOUNTS[: len(best)] / ideal)


@contextmanager
def one_core() -> Iterator[None]:
    """Thousands of small products: threads that share each of them mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
