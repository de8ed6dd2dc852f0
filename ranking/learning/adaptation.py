"""Adaptation: from the feedback on one query to a delta of the cross-encoder, within a deadline.

Two kinds, and both together: the head alone solved exactly (`ranking.learning.head`), which takes a millisecond, and
gradient steps on more parameters, of which the top layers are computed anew in every step. The recipe of Baumgärtner
et al. (EMNLP 2022) is `PAPER`: biases of all layers, AdamW, one document a step, up to 8 epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from index.encoder_bert import workers
from index.errors import InputError
from ranking.learning.bert import Part
from ranking.learning.delta import Delta
from ranking.learning.engine import Engine
from ranking.learning.head import solve
from ranking.learning.objectives import OBJECTIVES
from ranking.learning.pair import Pair
from ranking.learning.tuning import Rates, Tuned, fresh, group_of, leaves, thin_names, tuned_names

Objective: TypeAlias = Literal["binary", "pairwise", "listwise"]
Ended: TypeAlias = Literal["done", "settled", "deadline", "not finite"]


@dataclass(frozen=True)
class Adaptation:
    """How to adapt.

    tuned, layers: what changes, in how many of the top layers. `head` changes no layer, and is solved exactly.
    exact: solve the head before the gradient steps too (they then start from it and leave it).
    objective: `binary` takes soft relevance as a probability, and so debiased clicks.
    epochs, batch: passes over the feedback, and documents of a step (0: all of them in one).
    rate: AdamW's learning rate; 0 takes as many plain gradient steps as the model was meta-trained for, at the learning
        rates that it learned for them, and nothing but these.
    pull: the weight of half the squared change, which draws towards the base model.
    settle: stop early where an epoch's loss has fallen below it.
    rank: of thin factors. precision: of the exact head's prior; 0 takes the model's own.
    """

    tuned: Tuned = "head"
    layers: int = 2
    exact: bool = True
    objective: Objective = "binary"
    epochs: int = 4
    batch: int = 0
    rate: float = 2e-3
    pull: float = 0.0
    settle: float = 0.0
    rank: int = 4
    precision: float = 0.0
    seed: int = 0


PAPER = Adaptation(tuned="biases", layers=10**6, exact=False, epochs=8, batch=1, rate=2e-4)
"""As published; the learning rate is chosen from 2e-3, 2e-4 and 2e-5 on validation topics."""


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """n feedback documents as pairs, with the scores that are added to the model's (the prior), the relevance in [0, 1]
    and the weight of each, all of shape (n,).

    `vectors` (n, dimension) are further features of theirs in which the score is linear, with the precision of their
    weights' prior: solved together with the head, their weights change by `PRIOR`.
    """

    pairs: Sequence[Pair]
    offset: npt.NDArray[np.float64]
    relevance: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float32] | None = None
    precision: float = 1.0

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        offset, relevance, weight = (torch.tensor(part) for part in (self.offset, self.relevance, self.weight))
        return offset.float(), relevance.float(), weight.float()


@dataclass(frozen=True, slots=True)
class Adapted:
    """The delta, the loss before and after each epoch, and why it ended. Without a usable step the delta is empty."""

    delta: Delta
    losses: tuple[float, ...]
    ended: Ended


NOTHING = Delta({})
PRIOR = "prior.weight"


def cut_of(how: Adaptation, layers: int) -> int:
    """The first layer that changes: what lies below need not be computed again."""
    return layers if how.tuned == "head" else max(0, layers - how.layers)


def adapt(
    engine: Engine, support: Support, how: Adaptation, *, deadline: float | None = None, start: Delta | None = None
) -> Adapted:
    """Fit a delta to feedback. `deadline` is a time of `time.perf_counter`; `start` is a delta to go on from.

    After the deadline the best delta so far is the answer. A loss that is not finite ends with the base model. Raises
    as `Engine.states` does while the feedback documents' states are computed, TimeoutError among it.
    """
    left = None if deadline is None else max(0.0, deadline - time.perf_counter())
    if not len(support.pairs):
        return Adapted(start or NOTHING, (), "done")
    if not how.rate:
        how = _learned(how, engine.model.inner_rates)
    elif how.tuned == "head":
        return _solved(engine, support, how, engine.states(support.pairs, timeout=left))
    cut = min(cut_of(how, engine.layers), engine.layers - 1)
    states = engine.states(support.pairs, cut, timeout=left)
    begin = start
    if begin is None and how.exact:
        begin = _solved(engine, support, how, engine.states(support.pairs, keep=cut, timeout=left)).delta
    return _Steps(engine, support, how, states, cut, begin).run(deadline)


def _solved(engine: Engine, support: Support, how: Adaptation, pooled: Sequence[Tensor]) -> Adapted:
    """The head alone, exactly."""
    features = torch.stack(list(pooled))
    offset, relevance, weight = support.tensors()
    before = engine.head(features) + offset
    width = features.shape[1]
    # Each kind of feature in the unit in which its weights' prior has precision 1.
    scales = [(how.precision or engine.model.precision) ** -0.5] * width
    if support.vectors is not None:
        features = torch.cat([features, torch.from_numpy(support.vectors).float()], dim=1)
        scales += [support.precision**-0.5] * support.vectors.shape[1]
    unit = torch.tensor(scales)
    change, bias = solve(features * unit, before, relevance, weight, torch.tensor(1.0), torch.tensor(1e-2))
    change = change * unit
    if not bool(torch.isfinite(change).all()):
        return Adapted(NOTHING, (), "not finite")
    loss = OBJECTIVES[how.objective]
    after = before + features @ change + bias
    losses = tuple(float(loss(scores, relevance, weight)) for scores in (before, after))
    changes = {"head.weight": engine.model.spread(change[:width]), "head.bias": engine.model.spread(bias)}
    if support.vectors is not None:
        changes[PRIOR] = change[width:]
    return Adapted(Delta(changes), losses, "done")


class _Steps:
    """Gradient steps. The documents are divided among the cores: each computes its scores and, given the loss's
    gradient with respect to these, its share of the gradient. So any loss over all documents will do."""

    def __init__(
        self, engine: Engine, support: Support, how: Adaptation, states: Sequence[Tensor], cut: int, start: Delta | None
    ) -> None:
        self.engine, self.support, self.how, self.states, self.cut = engine, support, how, states, cut
        p, layers = engine.model.parameters, range(cut, engine.layers)
        names = [name for name in tuned_names(p, how.tuned, layers) if not (how.exact and name.startswith("head."))]
        changes = fresh(p, names, thin_names(p, layers) if how.tuned == "lora" else (), how.rank, how.seed)
        before = {} if start is None else dict(start.tensors)
        self.leaves = dict(leaves({name: before.pop(name, change) for name, change in changes.items()}).tensors)
        self.fixed = before
        offset, relevance, weight = support.tensors()
        if support.vectors is not None and PRIOR in before:
            offset = offset + torch.from_numpy(support.vectors).float() @ before[PRIOR]
        self.tensors = offset, relevance, weight
        self.optimizer = (
            None if not how.rate else torch.optim.AdamW(self.leaves.values(), lr=how.rate, weight_decay=0.0)
        )
        self.steps = 0

    def run(self, deadline: float | None) -> Adapted:
        random = np.random.default_rng(self.how.seed)
        best, losses = self._delta().detached(), list[float]()
        ended: Ended = "done"
        for _ in range(self.how.epochs):
            seen, total = 0, 0.0
            for rows in self._batches(random):
                if deadline is not None and time.perf_counter() >= deadline:
                    return Adapted(best, tuple(losses), "deadline")
                loss = self._step(rows)
                if not np.isfinite(loss):
                    return Adapted(NOTHING, tuple(losses), "not finite")
                seen, total = seen + len(rows), total + loss * len(rows)
            losses.append(total / max(seen, 1))
            best = self._delta().detached()
            if losses[-1] <= self.how.settle:
                ended = "settled"
                break
        if not all(bool(torch.isfinite(tensor).all()) for tensor in best.tensors.values()):
            return Adapted(NOTHING, tuple(losses), "not finite")
        return Adapted(best, tuple(losses), ended)

    def _delta(self) -> Delta:
        return Delta({**self.fixed, **self.leaves})

    def _batches(self, random: np.random.Generator) -> list[list[int]]:
        count = len(self.support.pairs)
        size = self.how.batch or count
        order = random.permutation(count).tolist() if self.how.batch else list(range(count))
        return [order[start : start + size] for start in range(0, count, size)]

    def _step(self, rows: Sequence[int]) -> float:
        """One step on some documents. Gives the loss before it."""
        groups = divided(rows, [len(self.support.pairs[i]) for i in range(len(self.support.pairs))])
        # A graph of its own per core: backward passes of one graph wait for each other.
        copies = [{n: t.detach().requires_grad_() for n, t in self.leaves.items()} for _ in groups]
        scores = list(workers().map(self._scores, groups, copies))
        joined = torch.cat(scores).detach().requires_grad_()
        order = [i for group in groups for i in group]
        offset, relevance, weight = (part[order] for part in self.tensors)
        loss = OBJECTIVES[self.how.objective](joined + offset, relevance, weight)
        (outer,) = torch.autograd.grad(loss, joined)
        shares = torch.split(outer, [len(group) for group in groups])
        gradients = list(workers().map(backward, scores, shares, copies))
        for name, leaf in self.leaves.items():
            leaf.grad = sum((part[name] for part in gradients), torch.zeros_like(leaf)) + self.how.pull * leaf.detach()
        if self.optimizer is not None:
            self.optimizer.step()
        else:
            self._descend(self.engine.model.inner_rates[self.steps])
        self.steps += 1
        return float(loss.detach())

    def _descend(self, rates: Mapping[str, float]) -> None:
        """A plain gradient step, with a learning rate per layer. What has none stays."""
        with torch.no_grad():
            for name, leaf in self.leaves.items():
                assert leaf.grad is not None
                leaf.sub_(rates.get(group_of(name), 0.0) * leaf.grad)

    def _scores(self, rows: Sequence[int], own: dict[str, Tensor]) -> Tensor:
        """The scores (n,) of some documents with gradients to a core's own copy of the parameters."""
        model = self.engine.model
        lengths = [len(self.support.pairs[i]) for i in rows]
        delta = Delta({**self.fixed, **own})
        parts = (Part(slice(0, len(rows)), slice(0, sum(lengths)), delta),)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.cat([self.states[i] for i in rows]).clone()
            x = model.bert.states(model.parameters, x, lengths, range(self.cut, self.engine.layers - 1), parts)
            pooled = model.bert.pooled(model.parameters, x, lengths, parts)
            return model.score(model.bert.logits(model.parameters, pooled, parts))


def _learned(how: Adaptation, rates: Rates) -> Adaptation:
    """Adaptation as the model was meta-trained for."""
    if not rates:
        raise InputError("This model has no learning rates of its own.", "Give one: rate = 0.002.")
    return replace(how, exact=False, epochs=len(rates), batch=0, pull=0.0, settle=-math.inf)


def backward(outputs: Tensor, share: Tensor, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradients of a core's own parameters, given the loss's with respect to what it computed from them."""
    found = torch.autograd.grad(outputs, list(own.values()), share, allow_unused=True)
    pairs: list[tuple[str, Tensor | None]] = list(zip(own, found, strict=True))
    return {name: torch.zeros_like(own[name]) if one is None else one for name, one in pairs}


def divided(rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Rows in as many groups as there are cores, of about as many tokens each; in each the longest first."""
    groups: list[list[int]] = [[] for _ in range(min(torch.get_num_threads(), len(rows)))]
    loads = [0] * len(groups)
    for row in sorted(rows, key=lambda i: -lengths[i]):
        lightest = loads.index(min(loads))
        groups[lightest].append(row)
        loads[lightest] += lengths[row]
    return groups


def warmer(how: Adaptation) -> Adaptation:
    """The same from a delta that was fitted to part of the feedback: half the epochs do."""
    return replace(how, epochs=max(1, how.epochs // 2))
