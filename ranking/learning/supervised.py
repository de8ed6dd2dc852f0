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

from index.errors import InputError
from ranking.learning.batches import PairTokenizer, Tokens
from ranking.learning.bert import Bert, Packed, Parameters, Part
from ranking.learning.delta import Delta, wide
from ranking.learning.head import BIAS_PRECISION, solve
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
        self.source = Source(tasks, recipe)
        self.parameters: Mapping[str, Tensor] = beginning(bert, base, recipe)

    def rate(self, name: str) -> float:
        return rate(name, self.recipe)

    @property
    def delta(self) -> Delta:
        return shipped(self.parameters)

    @property
    def about(self) -> dict[str, float]:
        return figures_of(self.parameters)

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        batch = self.source.batch(random)
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
        return torch.stack(losses).mean(), figures | self.about

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
        pooled = pooled[torch.tensor(order, device=pooled.device).argsort()]
        weight = wide(self.base["head.weight"]) + self.parameters["head.weight"]
        bias = wide(self.base["head.bias"]) + self.parameters["head.bias"]
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
        relevance, prior, weight = grades(target, logits)
        zero_shot = ranking_loss(recipe, logits, scale * prior, relevance, weight)
        figures = {"zero_shot": float(zero_shot.detach())}
        loss = zero_shot
        if (fading := recipe.distillation * max(0.0, 1.0 - 2.0 * progress)) > 0:
            loss = loss + fading * distilled(logits, TEACHER * prior)
        if support is not None:
            wanted, own_prior, sure = grades(support, given)
            precision = self.parameters["log_precision"].exp()
            change, _ = solve(
                given_pooled, given + scale * own_prior, wanted, sure, precision, torch.tensor(BIAS_PRECISION)
            )
            adapted = ranking_loss(recipe, logits + pooled @ change, scale * prior, relevance, weight)
            figures["adapted"] = float(adapted.detach())
            if recipe.method == "meta":
                loss = 0.5 * loss + adapted
        return loss, figures


class Source:
    """Where the tasks of a step come from."""

    def __init__(self, tasks: Sequence[Task], recipe: Recipe, *, feedback: bool = False) -> None:
        """Raises InputError without any task, and with `feedback` without one that can be divided."""
        self.recipe = recipe
        self.all = list(tasks)
        # What is too small to be divided would only be drawn in vain.
        self.feedback = [task for task in tasks if task.kind == "feedback" and _divisible(task)]
        if not tasks or (feedback and not self.feedback):
            raise InputError(
                f"There are no tasks {'with enough documents of both kinds ' if tasks else ''}to learn from.",
                "Make some with: clickwise train tasks.",
            )

    def batch(self, random: np.random.Generator) -> list[tuple[Task | None, Task]]:
        """Tasks until the step is full, each with its support (None for a task without feedback)."""
        batch: list[tuple[Task | None, Task]] = []
        pairs = 0
        while pairs < self.recipe.pairs:
            support: Task | None = None
            if random.random() >= self.recipe.singles and self.feedback:
                support, target = self.divided(random)
            else:
                target = self.single(random)
            batch.append((support, target))
            pairs += len(target) + (len(support) if support is not None else 0)
        return batch

    def divided(self, random: np.random.Generator) -> tuple[Task, Task]:
        """A task as what is given as feedback, and what is to be ranked."""
        task = self.feedback[random.integers(len(self.feedback))]
        k = self.recipe.k[random.integers(len(self.recipe.k))]
        made = episode(task, k, self.recipe.documents, random)
        assert made is not None
        return made.support, made.target

    def single(self, random: np.random.Generator, *, feedback: bool = False) -> Task:
        """Some documents of a task; with `feedback` of one that has enough of both kinds."""
        tasks = self.feedback if feedback else self.all
        return ranked_part(tasks[random.integers(len(tasks))], self.recipe.documents, random)


def beginning(bert: Bert, base: Parameters, recipe: Recipe) -> dict[str, Tensor]:
    """What is trained, where it begins: the changes by name, and the logarithms of two positive numbers (the scale of
    the prior, and the precision of the head's prior)."""
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
    weight = wide(base["pooler.weight"])
    changes["pooler.weight"] = torch.eye(bert.frame.width).to(weight) - weight
    changes["pooler.bias"] = -wide(base["pooler.bias"])
    changes["head.weight"] = 0.02 * torch.randn(changes["head.weight"].shape, generator=start).to(weight)
    changes["log_scale"], changes["log_precision"] = weight.new_tensor(np.log(TEACHER)), weight.new_tensor(np.log(3.0))
    return {name: tensor.requires_grad_() for name, tensor in changes.items()}


def rate(name: str, recipe: Recipe) -> float:
    """The learning rate of a parameter; logarithms, of which there are few, have their own."""
    return 20 * recipe.rate if name.startswith("log_") else recipe.rate


def shipped(parameters: Mapping[str, Tensor]) -> Delta:
    """The changes alone."""
    return Delta({name: tensor for name, tensor in parameters.items() if not name.startswith("log_")})


def figures_of(parameters: Mapping[str, Tensor]) -> dict[str, float]:
    """The two positive numbers, as `ranking.learning.cross_encoder` reads them."""
    return {name: float(parameters[f"log_{name}"].detach().exp()) for name in ("scale", "precision")}


def grades(task: Task, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Relevance, prior and weight of a task's n documents, each (n,), in the type and place of `like`."""
    relevance, prior, weight = (torch.tensor(each).to(like) for each in (task.relevance, task.prior, task.weight))
    return relevance, prior, weight


def ranking_loss(recipe: Recipe, logits: Tensor, prior: Tensor, relevance: Tensor, weight: Tensor) -> Tensor:
    """Listwise in the residual form, and beside it alone; pairwise in the residual form."""
    loss = listwise(logits + prior, relevance, weight) + recipe.standalone * listwise(logits, relevance, weight)
    return loss + recipe.pairs_loss * pairwise(logits + prior, relevance, weight)


def _divisible(task: Task) -> bool:
    """Whether there is one document of each kind to give, and others to rank."""
    relevant = int((task.relevance >= 0.5).sum())
    return relevant >= 2 and len(task) - relevant >= 3
