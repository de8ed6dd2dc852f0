"""The inner loop of meta-learning: a few gradient steps on the feedback of one task, differentiable where wanted.

The steps change a fresh delta on top of the model, exactly as adaptation does at search time. Each has a learning rate
of its own per layer, which is learned along (Li et al., "Meta-SGD", 2017, https://arxiv.org/abs/1707.09835; per layer
and step as in Antoniou et al., "How to train your MAML", ICLR 2019). Layers below the first that changes are computed
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ranking.learning.batches import PairTokenizer
from ranking.learning.bert import Bert, Packed, Parameters, Part
from ranking.learning.delta import Delta
from ranking.learning.objectives import OBJECTIVES
from ranking.learning.tasks import Task
from ranking.learning.tuning import Tuned, fresh, group_of, thin_names, tuned_names


@dataclass(frozen=True, slots=True)
class Inner:
    """What the inner steps change, in how many of the top layers, how often, and what they minimise."""

    tuned: Tuned
    layers: int
    steps: int
    objective: str
    rank: int
    seed: int


@dataclass(frozen=True, slots=True)
class Read:
    """The n documents of a task, read up to the first layer that changes: `x` are their tokens' states, or where no
    layer changes their pooled states; the others are (n,)."""

    x: Tensor
    lengths: tuple[int, ...]
    relevance: Tensor
    prior: Tensor
    weight: Tensor


class InnerLoop:
    """The network, cut where the inner steps begin to change it."""

    def __init__(self, bert: Bert, base: Parameters, tokenizer: PairTokenizer, inner: Inner) -> None:
        self.bert, self.tokenizer, self.inner = bert, tokenizer, inner
        self.cut = bert.frame.layers if inner.tuned == "head" else max(0, bert.frame.layers - inner.layers)
        changing = range(self.cut, bert.frame.layers)
        names = tuned_names(base, inner.tuned, changing)
        self.thin = thin_names(base, changing) if inner.tuned == "lora" else []
        self.fresh = fresh(base, names, self.thin, inner.rank, inner.seed)
        self.groups = list(dict.fromkeys(group_of(name) for name in self.fresh))

    def read(self, p: Parameters, task: Task) -> Read:
        tokens = self.tokenizer.pairs(task.query, task.texts)
        order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i][0]))
        packed = Packed.of([tokens[i] for i in order])
        x = self.bert.embed(p, packed)
        last = self.bert.frame.layers - 1
        x = self.bert.states(p, x, packed.lengths, range(min(self.cut, last)))
        if self.cut > last:
            x = self.bert.pooled(p, x, packed.lengths)
        own = task.take(order)
        like = next(iter(self.fresh.values()))
        relevance, prior, weight = (torch.tensor(each).to(like) for each in (own.relevance, own.prior, own.weight))
        return Read(x, packed.lengths, relevance, prior, weight)

    def logits(self, p: Parameters, read: Read, changes: Mapping[str, Tensor]) -> Tensor:
        """The scores (n,) with the changes in the model, the prior left out."""
        texts = slice(0, len(read.lengths))
        last = self.bert.frame.layers - 1
        parts = (Part(texts, slice(0, sum(read.lengths)), Delta(changes)),) if changes else ()
        pooled = read.x
        if self.cut <= last:
            x = self.bert.states(p, read.x, read.lengths, range(self.cut, last), parts)
            pooled = self.bert.pooled(p, x, read.lengths, parts)
        return self.bert.logits(p, pooled, parts)[:, 0]

    def adapted(
        self, p: Parameters, read: Read, scale: Tensor, rates: Tensor, *, second_order: bool
    ) -> tuple[dict[str, Tensor], list[float]]:
        """The changes after all steps, and the loss before each. `rates` is (steps, groups).

        Gradients flow from the changes to the rates, and with `second_order` also to `p` and `scale`, through the
        gradients of every step.
        """
        changes = {name: tensor.clone().requires_grad_() for name, tensor in self.fresh.items()}
        losses: list[float] = []
        if not second_order:
            p, scale = {name: tensor.detach() for name, tensor in p.items()}, scale.detach()
        for step in range(self.inner.steps):
            at = changes if second_order else {n: tensor.detach().requires_grad_() for n, tensor in changes.items()}
            loss = self.loss(p, read, at, scale)
            gradients = torch.autograd.grad(
                loss, list(at.values()), create_graph=second_order, allow_unused=True, materialize_grads=True
            )
            losses.append(float(loss.detach()))
            own = dict(zip(self.groups, rates[step], strict=True))
            changes = {
                name: tensor - own[group_of(name)] * gradient
                for (name, tensor), gradient in zip(changes.items(), gradients, strict=True)
            }
        return changes, losses

    def loss(self, p: Parameters, read: Read, changes: Mapping[str, Tensor], scale: Tensor) -> Tensor:
        """What the steps minimise, as in `ranking.learning.adaptation`."""
        scores = self.logits(p, read, changes) + scale * read.prior
        return OBJECTIVES[self.inner.objective](scores, read.relevance, read.weight)

    def dense(self, changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The changes of whole parameters: products of thin factors, and the others as they are."""
        whole = {name: change for name, change in changes.items() if name in self.fresh and name[-2:] not in _THIN}
        return whole | {name: changes[f"{name}.b"] @ changes[f"{name}.a"] for name in self.thin}


_THIN = (".a", ".b")


def twice_differentiable() -> AbstractContextManager[object]:
    """Attention by plain matrix products: the fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


def once_differentiable() -> AbstractContextManager[object]:
    return nullcontext()
