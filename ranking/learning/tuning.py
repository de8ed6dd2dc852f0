"""What of a model may change: fresh deltas over chosen kinds of parameters in chosen layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ranking.learning.bert import Parameters
from ranking.learning.delta import Delta, wide

Tuned: TypeAlias = Literal["head", "biases", "norms", "lora", "all"]
"""`head` is the classifier alone; each of the others includes it. `biases` are those of all linear maps (the BitFit of
Ben Zaken et al., ACL 2022, which the paper uses), `norms` scales and shifts of the normalisations, `lora` biases and
thin factors of all weights, `all` everything but the embeddings."""

Rates: TypeAlias = Sequence[Mapping[str, float]]
"""For every step the learning rate of each group of parameters, see `group_of`."""

_NORMS = ("norm", "last_norm")
_MAPS = ("qkv", "attended", "up", "down")


def tuned_names(parameters: Parameters, what: Tuned, layers: Iterable[int]) -> list[str]:
    """The names of the parameters that change: of the head, and of the maps and normalisations in `layers`.

    The pooler counts to the last layer. For `lora` these are the biases; the weights are `thin_names`.
    """
    last = max((int(name.split(".")[1]) for name in parameters if name.startswith("layers.")), default=-1)
    chosen = ["head.bias", "head.weight"]
    within = sorted(set(layers))
    for layer in within if what != "head" else ():
        at = f"layers.{layer}"
        if what in ("biases", "lora", "all"):
            chosen += [f"{at}.{name}.bias" for name in _MAPS]
        if what in ("norms", "all"):
            chosen += [f"{at}.{name}.{kind}" for name in _NORMS for kind in ("weight", "bias")]
        if what == "all":
            chosen += [f"{at}.{name}.weight" for name in _MAPS]
    if what != "head" and last in within:
        if what in ("biases", "lora", "all"):
            chosen.append("pooler.bias")
        if what == "all":
            chosen.append("pooler.weight")
    return [name for name in chosen if name in parameters]


def thin_names(parameters: Parameters, layers: Iterable[int]) -> list[str]:
    """The weights that thin factors change."""
    return [
        name
        for layer in sorted(set(layers))
        for part in _MAPS
        if (name := f"layers.{layer}.{part}.weight") in parameters
    ]


def fresh(
    parameters: Parameters, names: Iterable[str], thin: Iterable[str] = (), rank: int = 8, seed: int = 0
) -> dict[str, Tensor]:
    """Changes that change nothing yet, at least float32: zeros, and thin factors of which one is random and one
    zero."""
    random = torch.Generator().manual_seed(seed)
    changes = {name: torch.zeros_like(wide(parameters[name])) for name in names}
    for name in thin:
        outputs, inputs = parameters[name].shape
        like = wide(parameters[name][:0])
        changes[f"{name}.a"] = (torch.randn((rank, inputs), generator=random) / inputs**0.5).to(like)
        changes[f"{name}.b"] = like.new_zeros((outputs, rank))
    return changes


def leaves(changes: dict[str, Tensor]) -> Delta:
    """A delta through which gradients flow: every tensor is a leaf of its own."""
    return Delta({name: tensor.detach().clone().requires_grad_() for name, tensor in changes.items()})


def group_of(name: str) -> str:
    """The group of parameters that share a learning rate: those of a layer, of the pooler, of the head."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "layers" else parts[0]
