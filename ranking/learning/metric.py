"""Meta-learning a metric for one index from its own judgements: `clickwise train metric`.

The map is M = I + U with a penalty on |U|^2, so that it stays where it is unless the judgements say otherwise, and the
weights of the query and of the refused documents are learned with it, on the episodes of `ranking.learning.judged`.
Cross-validation chooses the number of epochs, and says whether to use the map at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index.vectors import unit_rows
from ranking.learning.judged import Drawn, Epoch, Gain, Rows, Topic, Values, Vectors, cross_validated, drawn, mean_ndcg
from ranking.options import number

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MetricTraining:
    """How a metric is trained. `epochs` is the most there are, `penalty` the weight of |U|^2, `folds` are those of the
    cross-validation, `targets` and `negatives` how many relevant, retrieved and random documents an episode ranks."""

    epochs: int = number(16, low=1)
    rate: float = number(1e-3, low=0.0)
    penalty: float = number(1e-3, low=0.0)
    batch: int = number(16, low=1)
    targets: int = number(32, low=1)
    negatives: int = number(100, low=1)
    folds: int = number(10, low=2)
    seed: int = number(0, low=0)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The map (dimension, dimension), the weights learned with it, and what maps gain on topics set aside."""

    matrix: Vectors
    query_weight: float
    negative_weight: float
    gain: Gain


def train_metric(
    vectors: Vectors,
    topics: Sequence[Topic],
    training: MetricTraining = MetricTraining(),
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Learned:
    """Learn a map of conditioned vectors (n, dimension) from topics.

    Deterministic by seed on one machine. Raises InputError where too few topics have two relevant documents.
    """
    learner, gain = cross_validated(
        lambda: _Learner(vectors, training), topics, training.epochs, training.folds, training.seed, "metric", on_epoch
    )
    return Learned(*learner.state(), gain)


class _Learner:
    """The parameters and their optimiser."""

    def __init__(self, vectors: Vectors, training: MetricTraining) -> None:
        import torch

        self.documents, self.training = vectors, training
        self.vectors = torch.from_numpy(np.ascontiguousarray(vectors))
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

    def quality(self, topics: Sequence[Topic]) -> Values:
        return quality(self.documents, topics, self.state()[0])

    def epoch(self, topics: Sequence[Topic]) -> float:
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

        episodes = [_parts(self._episode(topic)) for topic in topics]
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

    def _episode(self, topic: Topic) -> Drawn:
        return drawn(topic, len(self.vectors), self.training.targets, self.training.negatives, self.random)

    def _mapped(self, rows: torch.Tensor) -> torch.Tensor:
        moved = rows + rows @ self.change
        unit: torch.Tensor = moved / moved.norm(dim=1, keepdim=True).clamp_min(1e-6)
        return unit


def quality(vectors: Vectors, topics: Sequence[Topic], matrix: Vectors) -> Values:
    """nDCG@20 of the nearest neighbours under a map, per topic as `mean_ndcg` has it, without refused documents."""
    documents = unit_rows(vectors @ matrix)

    def scores(topic: Topic, given: Rows, _: Rows) -> Vectors:
        found: Vectors = documents @ (unit_rows(topic.query[None] @ matrix)[0] + documents[given].sum(axis=0))
        return found

    return mean_ndcg(topics, scores, refusing=False)


def _parts(episode: Drawn) -> tuple[Rows, Rows, Rows, Rows]:
    return episode.given, episode.refused, episode.targets, episode.others
