"""Training a cross-encoder on tasks: listwise, distilled, as a residual of the dense score, and to be adapted.

What is trained is a delta (thin factors of all weights, biases, normalisations, pooler and head): what is shipped is
small. A batch is a few tasks. Of a task with enough relevant documents some are given as feedback: the head is adapted
to them exactly (`ranking.learning.head`) and the rest is ranked with the adapted head, so that the loss reaches through
the adaptation into the body ("meta"); as a control, the same documents are ranked without ("supervised").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ranking.learning.batches import PairTokenizer, Tokens
from ranking.learning.bert import Bert, Packed, Parameters, Part
from ranking.learning.delta import Delta
from ranking.learning.head import solve
from ranking.learning.objectives import TEACHER, distilled, listwise, pairwise
from ranking.learning.tasks import Task, episode, ranked_part
from ranking.learning.tuning import fresh, thin_names, tuned_names


@dataclass(frozen=True)
class Recipe:
    """`method`: "meta" trains to be adapted, "supervised" to rank at once. `pairs` is the size of a step in (query,
    text) pairs, `documents` that of a list, `k` the feedback documents of each kind, drawn among these. `singles` is
    the share of tasks that are not given feedback. `standalone`, `pairs_loss` and `distillation` weigh the losses
    beside that of the residual form; distillation fades out in the first half."""

    method: Literal["meta", "supervised"] = "meta"
    rank: int = 24
    pairs: int = 40
    documents: int = 9
    k: tuple[int, ...] = (1, 2, 4)
    singles: float = 0.3
    rate: float = 5e-4
    standalone: float = 0.5
    pairs_loss: float = 0.2
    distillation: float = 0.5
    seed: int = 0


class CrossEncoderLearner:
    """The `Learner` of a cross-encoder's delta. `base` are frozen parameters, computed in their own type."""

    def __init__(
        self, bert: Bert, base: Parameters, tokenizer: PairTokenizer, tasks: Sequence[Task], recipe: Recipe
    ) -> None:
        self.bert, self.base, self.tokenizer, self.recipe = bert, base, tokenizer, recipe
        self.feedback = [task for task in tasks if task.kind == "feedback"]
        self.singles = list(tasks)
        layers = range(bert.frame.layers)
        names = [
            *tuned_names(base, "biases", layers),
            *tuned_names(base, "norms", layers),
            "pooler.weight",
            "norm.weight",
            "norm.bias",
        ]
        changes = fresh(base, dict.fromkeys(names), thin_names(base, layers), recipe.rank, recipe.seed)
        start = torch.Generator().manual_seed(recipe.seed + 1)
        # Of a sentence encoder the pooler was never trained: begin with one that lets the first token's state through.
        changes["pooler.weight"] = torch.eye(bert.frame.width) - base["pooler.weight"].float()
        changes["pooler.bias"] = -base["pooler.bias"].float()
        changes["head.weight"] = 0.02 * torch.randn(changes["head.weight"].shape, generator=start)
        # In logarithms, so that they stay positive: the scale of the prior, and the precision of the head's prior.
        changes["log_scale"], changes["log_precision"] = torch.tensor(np.log(TEACHER)), torch.tensor(np.log(3.0))
        self.parameters: Mapping[str, Tensor] = {
            name: tensor.float().requires_grad_() for name, tensor in changes.items()
        }

    def rate(self, name: str) -> float:
        if name.startswith("log_"):
            return 20 * self.recipe.rate
        return self.recipe.rate

    @property
    def delta(self) -> Delta:
        own = {name: tensor for name, tensor in self.parameters.items() if not name.startswith("log_")}
        return Delta(own)

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        batch = self._drawn(random)
        pooled, logits = self._forward([task for pair in batch for task in pair if task is not None])
        losses: list[Tensor] = []
        seen: dict[str, list[float]] = {}
        at = 0
        for support, target in batch:
            given = slice(at, at + (len(support) if support is not None else 0))
            asked = slice(given.stop, given.stop + len(target))
            at = asked.stop
            loss, figures = self._task_loss(
                support, target, pooled[given], logits[given], pooled[asked], logits[asked], progress
            )
            losses.append(loss)
            for name, value in figures.items():
                seen.setdefault(name, []).append(value)
        figures = {name: float(np.mean(values)) for name, values in seen.items()}
        figures["scale"] = float(self.parameters["log_scale"].exp())
        figures["precision"] = float(self.parameters["log_precision"].exp())
        return torch.stack(losses).mean(), figures

    def _drawn(self, random: np.random.Generator) -> list[tuple[Task | None, Task]]:
        """Tasks until the step is full, each with its support (None for a task without feedback)."""
        batch: list[tuple[Task | None, Task]] = []
        pairs = 0
        while pairs < self.recipe.pairs:
            support: Task | None = None
            if random.random() >= self.recipe.singles and self.feedback:
                task = self.feedback[random.integers(len(self.feedback))]
                k = self.recipe.k[random.integers(len(self.recipe.k))]
                made = episode(task, k, self.recipe.documents, random)
                if made is None:
                    continue
                support, target = made.support, made.target
            else:
                target = ranked_part(self.singles[random.integers(len(self.singles))], self.recipe.documents, random)
            batch.append((support, target))
            pairs += len(target) + (len(support) if support is not None else 0)
        return batch

    def _forward(self, tasks: Sequence[Task]) -> tuple[Tensor, Tensor]:
        """Pooled states (documents, width) and logits (documents,) of the tasks' documents in their order."""
        tokens: list[Tokens] = []
        for task in tasks:
            tokens += self.tokenizer.pairs(task.query, task.texts)
        order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i][0]))
        packed = Packed.of([tokens[i] for i in order])
        part = Part(slice(0, len(tokens)), slice(0, len(packed.ids)), self.delta)
        x = self.bert.embed(self.base, packed)
        x = self.bert.states(self.base, x, packed.lengths, range(self.bert.frame.layers - 1), (part,))
        pooled = self.bert.pooled(self.base, x, packed.lengths, (part,))
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order)] = torch.arange(len(order))
        pooled = pooled[back]
        weight = self.base["head.weight"].float() + self.parameters["head.weight"]
        bias = self.base["head.bias"].float() + self.parameters["head.bias"]
        return pooled, (pooled @ weight.T + bias)[:, 0]

    def _task_loss(
        self,
        support: Task | None,
        target: Task,
        given_pooled: Tensor,
        given: Tensor,
        pooled: Tensor,
        logits: Tensor,
        progress: float,
    ) -> tuple[Tensor, dict[str, float]]:
        recipe, scale = self.recipe, self.parameters["log_scale"].exp()
        relevance = torch.tensor(target.relevance, dtype=torch.float32)
        prior = torch.tensor(target.prior, dtype=torch.float32)
        weight = torch.ones_like(relevance)
        zero_shot = self._ranking_loss(logits, scale * prior, relevance, weight)
        figures = {"zero_shot": float(zero_shot)}
        loss = zero_shot
        if (fading := recipe.distillation * max(0.0, 1.0 - 2.0 * progress)) > 0:
            loss = loss + fading * distilled(logits, TEACHER * prior)
        if support is not None:
            wanted = torch.tensor(support.relevance, dtype=torch.float32)
            offset = given + scale * torch.tensor(support.prior, dtype=torch.float32)
            change, _ = solve(
                given_pooled,
                offset,
                wanted,
                torch.ones_like(wanted),
                self.parameters["log_precision"].exp(),
                torch.tensor(1e-2),
            )
            adapted = self._ranking_loss(logits + pooled @ change, scale * prior, relevance, weight)
            figures["adapted"] = float(adapted)
            if recipe.method == "meta":
                loss = 0.5 * loss + adapted
        return loss, figures

    def _ranking_loss(self, logits: Tensor, prior: Tensor, relevance: Tensor, weight: Tensor) -> Tensor:
        """Listwise in the residual form, and beside it alone; pairwise in the residual form."""
        recipe = self.recipe
        loss = listwise(logits + prior, relevance, weight) + recipe.standalone * listwise(logits, relevance, weight)
        return loss + recipe.pairs_loss * pairwise(logits + prior, relevance, weight)
