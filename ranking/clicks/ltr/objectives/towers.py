"""Objectives that model the click itself: relevance and the bias of the rank as two towers, trained together.

A tower of ranks can also learn relevance, because the logging policy puts relevant documents high. Three guards: its
output is dropped at times, its curve is frozen at one that was harvested or randomised, or impressions are weighted by
their inverse rank frequency (`pages.inverse_rank_frequency`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.objectives.protocol import Objective, curve, tensor
from ranking.clicks.ltr.pages import Pages

_ALMOST = 1.0 - 1e-6


class BiasTower(nn.Module):
    """One logit per rank and surface.

    With the chance `dropout` an impression in training does not tell the tower its rank: it gets the mean logit of the
    ranks, so the relevance tower must explain the click alone (Zhang et al., "Towards disentangling relevance and bias
    in unbiased learning to rank", KDD 2023). A frozen tower has the logits of given propensities and learns nothing.
    """

    logits: Tensor

    def __init__(self, ranks: int, surfaces: int = 1, dropout: float = 0.0, frozen: Bias | None = None) -> None:
        super().__init__()
        self.dropout = dropout
        if frozen is None:
            self.logits = nn.Parameter(torch.zeros(surfaces, ranks))
        else:
            self.register_buffer("logits", torch.logit(tensor(frozen.alpha.clip(1e-6, _ALMOST))))

    def forward(self, pages: Pages) -> Tensor:
        logits = curve(self.logits, pages)
        if self.training and self.dropout:
            dropped = torch.rand(logits.shape) < self.dropout
            unknown = curve(self.logits.mean(dim=1, keepdim=True), pages)
            logits = torch.where(dropped, unknown, logits)
        return logits


class Multiplicative(Objective):
    """P(click) = sigmoid(score) x sigmoid(logit of the rank): the position-based model with features.

    The gradient of its likelihood is that of one step of regression EM with soft labels (Wang et al., "Position bias
    estimation for unbiased learning to rank in personal search", WSDM 2018), so this is that method too.
    """

    def __init__(self, ranks: int, surfaces: int = 1, dropout: float = 0.0, frozen: Bias | None = None) -> None:
        super().__init__()
        self.tower = BiasTower(ranks, surfaces, dropout, frozen)

    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        return _likelihood(logsigmoid(scores) + logsigmoid(self.tower(pages)), pages)

    def believed(self) -> Bias:
        return _relative(self.tower.logits.detach().sigmoid())


class Additive(Objective):
    """P(click) = sigmoid(score + logit of the rank): odds instead of chances multiply."""

    def __init__(self, ranks: int, surfaces: int = 1, dropout: float = 0.0, frozen: Bias | None = None) -> None:
        super().__init__()
        self.tower = BiasTower(ranks, surfaces, dropout, frozen)

    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        return _likelihood(logsigmoid(scores + self.tower(pages)), pages)

    def believed(self) -> Bias:
        """The odds of a click by rank, relative to the highest."""
        return _relative(self.tower.logits.detach().exp())


class ClickLikelihood(Objective):
    """P(click) = alpha sigmoid(score) + beta with alpha and beta given: the direct method, and the regression that the
    doubly robust estimate starts from."""

    alpha: Tensor
    beta: Tensor

    def __init__(self, bias: Bias) -> None:
        super().__init__()
        self._bias = bias
        self.register_buffer("alpha", tensor(bias.alpha))
        self.register_buffer("beta", tensor(bias.beta))

    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        chance = curve(self.alpha, pages) * scores.sigmoid() + curve(self.beta, pages)
        return _likelihood(chance.clamp(1e-6, _ALMOST).log(), pages)

    def believed(self) -> Bias:
        return self._bias


def _likelihood(log_chance: Tensor, pages: Pages) -> Tensor:
    """The negative log-likelihood of the clicks for the logarithm of their chance, mean over pages."""
    log_chance = log_chance.clamp(max=-1e-6)
    log_rest = torch.log(-torch.expm1(log_chance))
    loss = -(pages.clicks * log_chance + (1.0 - pages.clicks) * log_rest)
    return (pages.weight * loss).sum() / pages.total


def _relative(curve: Tensor) -> Bias:
    """A curve up to its scale, which the clicks do not tell, as propensities: its highest value is 1."""
    values = np.maximum(curve.double().numpy(), 1e-6)
    return Bias.of(values / values.max())
