"""Meta-learning the probe's prior for one index from its own judgements: `clickwise train prior`.

The inner step is the probe itself: the classifier of one query's documents, found exactly (`ranking.learning.head`).
The outer one moves its prior so that the classifiers rank better what they have not seen; its gradient goes through
the solution by the implicit function theorem, with nothing unrolled (Bertinetto et al., "Meta-learning with
differentiable closed-form solvers", ICLR 2019; Rajeswaran et al., "Meta-learning with implicit gradients", NeurIPS
2019). Learned are the scale of the prior's mean and the query's weight in it, the precision, a low-rank part of the
covariance, what a refused document counts, and how often a judgement is wrong.

The features are any frozen ones: an index's vectors, or what a cross-encoder has pooled of (query, document) pairs,
with its own scores as `offset`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from index.prior import Prior
from ranking.learning.head import solve
from ranking.learning.judged import Epoch, Gain, Rows, Topic, Values, Vectors, cross_validated, drawn, mean_ndcg
from ranking.options import number

Numbers = Mapping[str, Tensor]
BIAS_PRECISION = 1e-3
"""The probe's."""


@dataclass(frozen=True)
class PriorTraining:
    """How a prior is trained. `epochs` is the most there are, `rank` that of the covariance's part beside the identity,
    `penalty` the weight of how far the numbers have moved, `folds` are those of the cross-validation, `targets` and
    `negatives` how many relevant, retrieved and random documents an episode ranks."""

    epochs: int = number(6, low=1)
    rate: float = number(0.02, low=0.0)
    rank: int = number(8, low=1)
    penalty: float = number(1e-3, low=0.0)
    batch: int = number(16, low=1)
    targets: int = number(32, low=1)
    negatives: int = number(100, low=1)
    folds: int = number(10, low=2)
    seed: int = number(0, low=0)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The prior, and what priors gain over the probe's own on topics set aside."""

    prior: Prior
    gain: Gain


def train_prior(
    vectors: Vectors,
    topics: Sequence[Topic],
    space: str,
    training: PriorTraining = PriorTraining(),
    on_epoch: Callable[[Epoch], None] | None = None,
    offset: npt.NDArray[np.float64] | None = None,
) -> Learned:
    """Learn a prior of classifiers on frozen features (n, dimension), from topics whose rows point into them.

    `space` names what the features are; `offset` (n,) are scores that the classifiers' are added to. Deterministic by
    seed on one machine. Raises InputError where too few topics have two relevant documents.
    """
    learner, gain = cross_validated(
        lambda: _Learner(vectors, training, offset),
        topics,
        training.epochs,
        training.folds,
        training.seed,
        "prior",
        on_epoch,
    )
    return Learned(learner.prior(space), gain)


def start_numbers(dimension: int, rank: int, seed: int = 0) -> dict[str, Tensor]:
    """The numbers to learn, before they are made positive: those of the probe, and next to nothing in the factor."""
    random = torch.Generator().manual_seed(seed)
    return {
        "scale": torch.tensor(16.0).log(),
        "query_weight": torch.tensor(0.0),
        "precision": torch.tensor(0.3).log(),
        "refused_weight": torch.tensor(0.0),
        "noise": torch.tensor([-5.0, -5.0]),
        "factor": 0.1 * torch.randn((dimension, rank), generator=random) / dimension**0.5,
    }


def classifier(
    numbers: Numbers, query: Tensor, rows: Tensor, relevance: Tensor, weight: Tensor, offset: Tensor
) -> tuple[Tensor, Tensor]:
    """The classifier (dimension,) and its bias () for one query and n documents of feedback, `rows` (n, dimension).

    The same as `ranking.probe.fit_learned`, and differentiable in the numbers.
    """
    wrong = 0.5 * torch.sigmoid(numbers["noise"])
    factor, query_weight = numbers["factor"], numbers["query_weight"].exp()
    relevant = relevance * weight
    mean = (query_weight * query + relevant @ rows) / (query_weight + relevant.sum())
    prior = numbers["scale"].exp() * mean
    soft = (1.0 - wrong[0]) * relevance + wrong[1] * (1.0 - relevance)
    counts = relevant + numbers["refused_weight"].exp() * (1.0 - relevance) * weight
    features = torch.cat([rows, rows @ factor], dim=1)
    change, bias = solve(
        features, offset + rows @ prior, soft, counts, numbers["precision"].exp(), torch.tensor(BIAS_PRECISION)
    )
    own, along = change[: len(prior)], change[len(prior) :]
    return prior + own + factor @ along, bias


class _Learner:
    """The numbers and their optimiser."""

    def __init__(self, vectors: Vectors, training: PriorTraining, offset: npt.NDArray[np.float64] | None) -> None:
        self.vectors, self.training = torch.from_numpy(np.ascontiguousarray(vectors)), training
        self.offset = torch.zeros(len(vectors)) if offset is None else torch.from_numpy(offset).float()
        self.random = np.random.default_rng(training.seed)
        self.begin = start_numbers(vectors.shape[1], training.rank, training.seed)
        self.numbers = {name: value.clone().requires_grad_() for name, value in self.begin.items()}
        self.temperature = torch.tensor(0.0, requires_grad=True)  # of the loss alone
        self.optimizer = torch.optim.Adam([*self.numbers.values(), self.temperature], lr=training.rate)

    def prior(self, space: str) -> Prior:
        fixed = {name: value.detach() for name, value in self.numbers.items()}
        wrong = (0.5 * torch.sigmoid(fixed["noise"])).tolist()
        names = ("scale", "query_weight", "precision", "refused_weight")
        scale, query, precision, refused = (float(fixed[name].exp()) for name in names)
        return Prior(fixed["factor"].numpy().copy(), scale, query, precision, refused, (wrong[0], wrong[1]), space)

    def epoch(self, topics: Sequence[Topic]) -> float:
        order, total = self.random.permutation(len(topics)), 0.0
        for start in range(0, len(order), self.training.batch):
            chosen = [topics[i] for i in order[start : start + self.training.batch].tolist()]
            loss = torch.stack([self._loss(topic) for topic in chosen]).mean()
            moved = torch.stack([((self.numbers[name] - self.begin[name]) ** 2).sum() for name in self.begin]).sum()
            self.optimizer.zero_grad()
            (loss + self.training.penalty * moved).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += float(loss.detach()) * len(chosen)
        return total / len(topics)

    def quality(self, topics: Sequence[Topic]) -> Values:
        @torch.no_grad()
        def scores(topic: Topic, given: Rows, refused: Rows) -> npt.NDArray[np.float32]:
            direction, _ = self._fitted(topic, given, refused)
            found: npt.NDArray[np.float32] = (self.vectors @ direction + self.offset).numpy()
            return found

        return mean_ndcg(topics, scores, refusing=True)

    def _fitted(self, topic: Topic, given: Rows, refused: Rows) -> tuple[Tensor, Tensor]:
        at = torch.from_numpy(np.concatenate([given, refused]))
        relevance = torch.cat([torch.ones(len(given)), torch.zeros(len(refused))])
        query = torch.from_numpy(topic.query)
        return classifier(self.numbers, query, self.vectors[at], relevance, torch.ones(len(at)), self.offset[at])

    def _loss(self, topic: Topic) -> Tensor:
        """Listwise loss of one episode: the mean cross-entropy of its relevant documents."""
        some = drawn(topic, len(self.vectors), self.training.targets, self.training.negatives, self.random)
        direction, _ = self._fitted(topic, some.given, some.refused)
        at = torch.from_numpy(np.concatenate([some.targets, some.others]))
        scores = self.temperature.exp() * (self.vectors[at] @ direction + self.offset[at])
        return (torch.logsumexp(scores, 0) - scores[: len(some.targets)]).mean()
