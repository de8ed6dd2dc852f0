"""Meta-learning a metric for one index from its own judgements: `clickwise train metric`.

Each step is an episode like those that the metric will serve: k relevant and k refused documents of a topic are its
feedback, and the topic's other relevant documents have to come before the refused and before random ones. The map is
M = I + U with a penalty on |U|^2, so that it stays where it is unless the judgements say otherwise, and the weights of
the query and of the refused documents are learned with it. Topics set aside choose the epoch, and say whether to use
the map at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from ranking.options import number

if TYPE_CHECKING:
    import torch

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

SIZES = (1, 2, 4, 8)  # how many documents of each kind an episode gives
CUT = 20
_DISCOUNTS = 1.0 / np.log2(np.arange(2.0, CUT + 2.0))
_FEWEST = 10  # topics on each side of the division


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """One query: its conditioned vector (dimension,), the rows of its relevant documents, best first where an order is
    known, and of others, retrieved or judged, that are not relevant, the most alike first."""

    query: Vectors
    relevant: Rows
    refused: Rows


@dataclass(frozen=True)
class MetricTraining:
    """How a metric is trained. `penalty` is the weight of |U|^2, `validation` the share of topics set aside, `targets`
    and `negatives` how many relevant, retrieved and random documents an episode ranks."""

    epochs: int = number(12, low=1)
    rate: float = number(1e-3, low=0.0)
    penalty: float = number(1e-3, low=0.0)
    batch: int = number(16, low=1)
    targets: int = number(32, low=1)
    negatives: int = number(100, low=1)
    validation: float = number(0.2, low=0.0, high=0.9)
    seed: int = number(0, low=0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch came to: the mean loss, and nDCG@20 on the topics set aside."""

    number: int
    loss: float
    ndcg: float


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The best map (dimension, dimension), the weights learned with it, and how it compares on the topics set aside.

    `plain` and `learned` are the means of nDCG@20 without and with the map, `error` is the standard error of their
    difference. It is `confirmed` where the gain exceeds two of these.
    """

    matrix: Vectors
    query_weight: float
    negative_weight: float
    plain: float
    learned: float
    error: float
    topics: int
    held_out: int

    @property
    def confirmed(self) -> bool:
        return self.learned - self.plain > 2.0 * self.error


def train_metric(
    vectors: Vectors,
    topics: Sequence[Topic],
    training: MetricTraining = MetricTraining(),
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Learned:
    """Learn a map of conditioned vectors (n, dimension) from topics.

    Deterministic by seed on one machine. Raises InputError where too few topics have two relevant documents.
    """
    usable = [topic for topic in topics if len(topic.relevant) >= 2 and len(topic.refused)]
    order = np.random.default_rng(training.seed).permutation(len(usable)).tolist()
    aside = int(training.validation * len(usable))
    if aside < _FEWEST or len(usable) - aside < _FEWEST:
        raise InputError(
            f"Only {len(usable)} topics have two relevant documents and one that is not, too few to learn a metric.",
            f"Judge more, so that at least {_FEWEST} serve to learn and {_FEWEST} to confirm.",
        )
    held_out, taught = [usable[i] for i in order[:aside]], [usable[i] for i in order[aside:]]
    learner = _Learner(vectors, training)
    plain = best = quality(vectors, held_out, np.eye(vectors.shape[1], dtype=np.float32))
    chosen = learner.state()
    for epoch in range(1, training.epochs + 1):
        loss = learner.epoch(taught)
        state = learner.state()
        reached = quality(vectors, held_out, state[0])
        if reached.mean() > best.mean():
            best, chosen = reached, state
        if on_epoch:
            on_epoch(Epoch(epoch, loss, float(reached.mean())))
    gain = best - plain
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    return Learned(*chosen, float(plain.mean()), float(best.mean()), error, len(taught), len(held_out))


class _Learner:
    """The parameters and their optimiser."""

    def __init__(self, vectors: Vectors, training: MetricTraining) -> None:
        import torch

        self.vectors, self.training = torch.from_numpy(np.ascontiguousarray(vectors)), training
        self.random = np.random.default_rng(training.seed)
        dimension = vectors.shape[1]
        self.change = torch.zeros(dimension, dimension, requires_grad=True)
        # Weight of the query, weight of refused documents, scale of the scores: before they are made positive.
        self.weights = torch.tensor([0.0, -2.0, 2.3], requires_grad=True)
        groups = [{"params": [self.change], "lr": training.rate}, {"params": [self.weights], "lr": 20 * training.rate}]
        self.optimizer = torch.optim.Adam(groups)

    def state(self) -> tuple[Vectors, float, float]:
        """The map, the weight of the query and that of the refused documents."""
        import torch

        matrix: Vectors = np.eye(len(self.change), dtype=np.float32) + self.change.detach().numpy()
        return (
            matrix,
            float(self.weights[0].detach().exp()),
            float(torch.nn.functional.softplus(self.weights[1].detach())),
        )

    def epoch(self, topics: Sequence[Topic]) -> float:
        """One pass over the topics; the mean loss."""
        order, total = self.random.permutation(len(topics)), 0.0
        for start in range(0, len(order), self.training.batch):
            chosen = [topics[i] for i in order[start : start + self.training.batch].tolist()]
            loss = self._loss(chosen)
            penalised = loss + self.training.penalty * (self.change**2).sum()
            self.optimizer.zero_grad()
            penalised.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += float(loss.detach()) * len(chosen)
        return total / len(topics)

    def _loss(self, topics: Sequence[Topic]) -> torch.Tensor:
        """Listwise loss of a few episodes: the mean cross-entropy of their relevant documents."""
        import torch

        episodes = [self._episode(topic) for topic in topics]
        rows, places = np.unique(np.concatenate([part for parts in episodes for part in parts]), return_inverse=True)
        documents = self._mapped(self.vectors[torch.from_numpy(rows)])
        queries = self._mapped(torch.from_numpy(np.stack([topic.query for topic in topics])))
        query_weight, refused_weight = self.weights[0].exp(), torch.nn.functional.softplus(self.weights[1])
        losses, at = [], 0
        for query, parts in zip(queries, episodes, strict=True):
            taken = []
            for part in parts:
                taken.append(torch.from_numpy(places[at : at + len(part)]))
                at += len(part)
            given, refused, targets, others = taken
            wanted = query_weight * query + documents[given].sum(0)
            wanted = wanted / (1 + len(given)) - refused_weight * documents[refused].mean(0)
            scores = self.weights[2].exp() * (documents[torch.cat([targets, others])] @ wanted)
            losses.append((torch.logsumexp(scores, 0) - scores[: len(targets)]).mean())
        return torch.stack(losses).mean()

    def _episode(self, topic: Topic) -> tuple[Rows, Rows, Rows, Rows]:
        """Rows of documents: given as relevant, given as refused, to be found, to come after those."""
        random, relevant = self.random, self.random.permutation(topic.relevant)
        k = min(int(random.choice(SIZES)), len(relevant) // 2)
        refused = random.permutation(topic.refused[:CUT])[:k]
        retrieved = random.permutation(topic.refused)[: self.training.negatives]
        strangers = random.integers(0, len(self.vectors), self.training.negatives)
        strangers = strangers[~np.isin(strangers, topic.relevant)]
        others = np.concatenate([retrieved, strangers]).astype(np.int64)
        return relevant[:k], refused, relevant[k : k + self.training.targets], others

    def _mapped(self, rows: torch.Tensor) -> torch.Tensor:
        moved = rows + rows @ self.change
        unit: torch.Tensor = moved / moved.norm(dim=1, keepdim=True).clamp_min(1e-6)
        return unit


def quality(vectors: Vectors, topics: Sequence[Topic], matrix: Vectors) -> npt.NDArray[np.float64]:
    """nDCG@20 of the nearest neighbours under a map, per topic the mean over k = 2, 4, 8 as far as the topic allows.

    The first k relevant documents are the feedback, and neither ranked nor counted.
    """
    documents = _unit(vectors @ matrix)
    values = np.zeros(len(topics))
    for i, topic in enumerate(topics):
        query = _unit(topic.query[None] @ matrix)[0]
        sizes = sorted({min(k, len(topic.relevant) - 1) for k in SIZES[1:]})
        values[i] = np.mean([_ndcg(documents, query, topic.relevant, k) for k in sizes])
    return values


def _ndcg(documents: Vectors, query: Vectors, relevant: Rows, k: int) -> float:
    scores = documents @ (query + documents[relevant[:k]].sum(axis=0))
    scores[relevant[:k]] = -np.inf
    depth = min(CUT, len(scores))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = best[np.argsort(-scores[best], kind="stable")]
    hits = np.isin(best, relevant[k:])
    ideal = _DISCOUNTS[: min(CUT, len(relevant) - k)].sum()
    return float(hits @ _DISCOUNTS[:depth] / ideal)


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
