"""What is learned: a function from rows to scores, with parameters.

Training asks no more of a scorer than `Scorer` says, so a cross-encoder over the texts of the rows fits as well as a
network over their features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from ranking.clicks.ltr.features import Single

Kind: TypeAlias = Literal["linear", "mlp"]
Scaling: TypeAlias = Literal["auto", "standard", "common"]
"""`standard` gives every feature the mean 0 and the deviation 1. `common` keeps features in [0, 1] (ranks, quantiles,
chances) in the scale that they share, and 0 where it is: there 0 often means that a value is missing, and a feature
that few documents have, divided by its small deviation, would drown the others. `auto` is `common` where all features
lie in [0, 1]."""
_UNIFORM: Final = 12**0.5  # over the deviation of what is spread evenly over [0, 1]


class Scorer(Protocol):
    """Rows (p,) int64 -> scores (p,); higher is better, only differences within a query matter."""

    def __call__(self, rows: Tensor) -> Tensor: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def train(self, mode: bool = True) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


class Network(nn.Module):
    """Features (n, w) -> scores (n,): shifted and scaled, then linear or with hidden layers.

    These means and scales are part of the model; features that never vary are left out of it.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, kind: Kind = "mlp", hidden: Sequence[int] = (64, 32), dropout: float = 0.5) -> None:
        super().__init__()
        self.width, self.kind, self.hidden, self.dropout = width, kind, tuple(hidden), dropout
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        layers: list[nn.Module] = []
        last = width
        for size in self.hidden if kind == "mlp" else ():
            layers += [nn.Linear(last, size), nn.ELU(), nn.Dropout(dropout)]
            last = size
        self.layers = nn.Sequential(*layers, nn.Linear(last, 1))

    def standardise(self, matrix: Single, scaling: Scaling = "auto") -> None:
        """Take means and scales from features."""
        values = torch.from_numpy(matrix)
        deviation = values.std(dim=0, correction=0)
        if scaling == "auto":
            scaling = "common" if len(matrix) and bool(((matrix >= 0) & (matrix <= 1)).all()) else "standard"
        if scaling == "common":
            mean, scale = torch.zeros(()), torch.full_like(deviation, _UNIFORM)
        else:
            mean, scale = values.mean(dim=0), 1.0 / deviation.clamp(min=1e-6)
        self.mean.copy_(mean.expand_as(self.mean))
        self.scale.copy_(torch.where(deviation > 1e-6, scale, torch.zeros(())))

    def standard(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.scale

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.layers(self.standard(features)).squeeze(-1)
        return scores


class FeatureScorer(nn.Module):
    """A network over rows of a matrix of features."""

    matrix: Tensor

    def __init__(self, network: Network, matrix: Single) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("matrix", torch.from_numpy(matrix), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.network(self.matrix[rows])
        return scores


def new_scorer(
    matrix: Single,
    kind: Kind = "mlp",
    hidden: Sequence[int] = (64, 32),
    dropout: float = 0.5,
    seed: int = 0,
    scaling: Scaling = "auto",
) -> FeatureScorer:
    """A scorer with parameters drawn by `seed`, scaled by the features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(matrix.shape[1], kind, hidden, dropout)
    network.standardise(matrix, scaling)
    return FeatureScorer(network, matrix)
