"""Meta-learning by gradients: a model trained to be good after a few gradient steps on a handful of documents.

Model-agnostic meta-learning (Finn et al., ICML 2017, https://arxiv.org/abs/1703.03400) and its relatives, as `Learner`s
beside `ranking.learning.supervised`, whose closed-form adaptation of the head is the further one:

    fomaml        inner steps on one task, outer loss on another, as in Baumgärtner et al. (EMNLP 2022)
    maml          inner steps on a task's feedback, outer loss on its other documents; gradients of first order
    second-order  the same with the exact gradient, through the inner steps
    reptile       towards where the inner steps lead (Nichol et al. 2018, https://arxiv.org/abs/1803.02999)
    anil          the head alone in the inner steps, exact gradient (Raghu et al., ICLR 2020)

What is trained is the delta that `supervised` trains. The inner steps change a delta on top of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ranking.learning.batches import PairTokenizer
from ranking.learning.bert import Bert, Parameters
from ranking.learning.delta import Delta
from ranking.learning.inner import Inner, InnerLoop, Read, once_differentiable, twice_differentiable
from ranking.learning.supervised import (
    CrossEncoderLearner,
    Recipe,
    Source,
    beginning,
    figures_of,
    ranking_loss,
    rate,
    shipped,
)
from ranking.learning.tasks import Task
from ranking.learning.tuning import Tuned

Name: TypeAlias = Literal["fomaml", "maml", "second-order", "reptile", "anil"]


@dataclass(frozen=True)
class MetaRecipe(Recipe):
    """A `Recipe` with inner steps.

    tuned, layers, thin: what the inner steps change, in how many of the top layers, the rank of fresh thin factors.
    steps, inner_rate: how many steps, and the learning rate that theirs begin from; `learn_rates` learns them.
    objective: what the inner steps minimise. unadapted: the weight of the loss before any inner step.
    """

    tuned: Tuned = "biases"
    layers: int = 2
    thin: int = 4
    steps: int = 2
    inner_rate: float = 0.05
    learn_rates: bool = True
    objective: Literal["binary", "pairwise", "listwise"] = "binary"
    unadapted: float = 0.5


class Algorithm(Protocol):
    """What one method does in its own way."""

    second_order: bool
    learns_rates: bool

    def draw(self, source: Source, random: np.random.Generator) -> tuple[Task, Task | None]:
        """What the inner steps see, and what the outer loss ranks."""
        ...

    def outer(self, learner: MetaLearner, p: Parameters, changes: Mapping[str, Tensor], target: Read | None) -> Tensor:
        """The outer loss, from the changes that the inner steps made."""
        ...


class WithinTask:
    """Feedback and the documents to rank are of one task."""

    learns_rates = True

    def __init__(self, second_order: bool) -> None:
        self.second_order = second_order

    def draw(self, source: Source, random: np.random.Generator) -> tuple[Task, Task | None]:
        return source.divided(random)

    def outer(self, learner: MetaLearner, p: Parameters, changes: Mapping[str, Tensor], target: Read | None) -> Tensor:
        assert target is not None
        return learner.ranking_loss(p, target, changes)


class AcrossTasks(WithinTask):
    """The inner steps see one task, and the outer loss another."""

    def __init__(self) -> None:
        super().__init__(second_order=False)

    def draw(self, source: Source, random: np.random.Generator) -> tuple[Task, Task | None]:
        return source.single(random, feedback=True), source.single(random, feedback=True)


class Reptile:
    """The inner steps see the documents of a task; the model moves to where they lead."""

    second_order = False
    learns_rates = False

    def draw(self, source: Source, random: np.random.Generator) -> tuple[Task, Task | None]:
        return source.single(random, feedback=True), None

    def outer(self, learner: MetaLearner, p: Parameters, changes: Mapping[str, Tensor], target: Read | None) -> Tensor:
        """Not a loss, but what has Reptile's direction for its gradient: parameters before minus after, over the inner
        learning rate.

        It is taken in whole parameters: of a weight that is trained as thin factors they get their share of it.
        """
        moved = learner.loop.dense(changes)
        ways = [-(p[name] * change.detach()).sum() for name, change in moved.items()]
        return torch.stack(ways).sum() / learner.recipe.inner_rate


ALGORITHMS: dict[Name, Algorithm] = {
    "fomaml": AcrossTasks(),
    "maml": WithinTask(second_order=False),
    "second-order": WithinTask(second_order=True),
    "reptile": Reptile(),
    "anil": WithinTask(second_order=True),
}


class MetaLearner:
    """The `Learner` of a delta of a cross-encoder, by one of the algorithms."""

    def __init__(
        self,
        name: Name,
        bert: Bert,
        base: Parameters,
        tokenizer: PairTokenizer,
        tasks: Sequence[Task],
        recipe: MetaRecipe,
    ) -> None:
        self.algorithm = ALGORITHMS[name]
        self.recipe = replace(recipe, tuned="head") if name == "anil" else recipe
        self.base = base
        self.source = Source(tasks, self.recipe, feedback=True)
        own = self.recipe
        inner = Inner(own.tuned, own.layers, own.steps, own.objective, own.thin, own.seed)
        self.loop = InnerLoop(bert, base, tokenizer, inner)
        parameters = beginning(bert, base, self.recipe)
        rates = torch.full((own.steps, len(self.loop.groups)), float(np.log(own.inner_rate)))
        self._log_rates = rates.to(parameters["log_scale"].detach())
        if own.learn_rates and self.algorithm.learns_rates:
            parameters["log_rates"] = self._log_rates.requires_grad_()
        self.parameters: Mapping[str, Tensor] = parameters

    def rate(self, name: str) -> float:
        return rate(name, self.recipe)

    @property
    def delta(self) -> Delta:
        return shipped(self.parameters)

    @property
    def about(self) -> dict[str, Any]:
        rates = self._log_rates.detach().exp().tolist()
        inner = {"tuned": self.recipe.tuned, "layers": self.recipe.layers, "objective": self.recipe.objective}
        steps = [dict(zip(self.loop.groups, step, strict=True)) for step in rates]
        return {**figures_of(self.parameters), "inner": inner, "inner_rates": steps}

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        with twice_differentiable() if self.algorithm.second_order else once_differentiable():
            p = self.delta.added_to(self.base)
            losses: list[Tensor] = []
            seen: dict[str, list[float]] = {}
            pairs = 0
            while pairs < self.recipe.pairs:
                if random.random() < self.recipe.singles:
                    single = self.source.single(random)
                    losses.append(self.ranking_loss(p, self.loop.read(p, single), {}))
                    figures, count = {"zero_shot": float(losses[-1].detach())}, len(single)
                else:
                    support, target = self.algorithm.draw(self.source, random)
                    loss, figures = self._episode(p, support, target)
                    losses.append(loss)
                    count = len(support) + (len(target) if target is not None else 0)
                pairs += count
                for name, value in figures.items():
                    seen.setdefault(name, []).append(value)
        figures = {name: float(np.mean(values)) for name, values in seen.items()}
        figures["inner_rate"] = float(self._log_rates.detach().exp().mean())
        return torch.stack(losses).mean(), figures | figures_of(self.parameters)

    def ranking_loss(self, p: Parameters, read: Read, changes: Mapping[str, Tensor]) -> Tensor:
        """The outer loss of a task's documents."""
        logits = self.loop.logits(p, read, changes)
        return ranking_loss(self.recipe, logits, self.scale * read.prior, read.relevance, read.weight)

    @property
    def scale(self) -> Tensor:
        return self.parameters["log_scale"].exp()

    def _episode(self, p: Parameters, support: Task, target: Task | None) -> tuple[Tensor, dict[str, float]]:
        """The loss of one task, and what there is to log of it."""
        second_order = self.algorithm.second_order
        with torch.set_grad_enabled(second_order):
            given = self.loop.read(p, support)
        changes, inner = self.loop.adapted(p, given, self.scale, self._log_rates.exp(), second_order=second_order)
        asked = None if target is None else self.loop.read(p, target)
        loss = self.algorithm.outer(self, p, changes, asked)
        figures = {"inner": inner[0]}
        if asked is None:
            with torch.no_grad():
                after = float(self.loop.loss(p, given, changes, self.scale))
            # Its gradient is what counts; what is logged for it is the inner loss after all steps.
            return loss - loss.detach() + after, {**figures, "adapted": after}
        figures["adapted"] = float(loss.detach())
        if self.recipe.unadapted > 0:
            zero_shot = self.ranking_loss(p, asked, {})
            figures["zero_shot"] = float(zero_shot.detach())
            loss = loss + self.recipe.unadapted * zero_shot
        return loss, figures


def learner_of(
    algorithm: Name | Literal["head"],
    bert: Bert,
    base: Parameters,
    tokenizer: PairTokenizer,
    tasks: Sequence[Task],
    recipe: MetaRecipe,
) -> MetaLearner | CrossEncoderLearner:
    """The learner of an algorithm by its name; `head` adapts the head in closed form."""
    if algorithm == "head":
        plain = {name: getattr(recipe, name) for name in Recipe.__dataclass_fields__}
        return CrossEncoderLearner(bert, base, tokenizer, tasks, Recipe(**{**plain, "method": "meta"}))
    return MetaLearner(algorithm, bert, base, tokenizer, tasks, recipe)
