"""The dual learning algorithm: a ranker and a model of propensities, each corrected by the other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.objectives.protocol import Objective, capped, curve, log_share
from ranking.clicks.ltr.pages import Pages


class DualLearning(Objective):
    """Ai et al., "Unbiased learning to rank with unbiased propensity estimation" (SIGIR 2018).

    The ranker's softmax loss weights a click at rank k by theta_1 / theta_k; the softmax loss of the propensities
    weights it by the relevance at rank 1 over that at rank k, as the ranker has it. Weights are constants to the loss
    that they are in, and are cut at `clip`.
    """

    def __init__(self, ranks: int, surfaces: int = 1, clip: float | None = 10.0) -> None:
        super().__init__()
        self.clip = clip
        self.logits = nn.Parameter(torch.zeros(surfaces, ranks))

    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        ranker, ranks = log_share(scores, pages), log_share(curve(self.logits, pages), pages)
        clicked = pages.weight * pages.clicks
        first = pages.shown.int().argmax(dim=1, keepdim=True)  # rank 1, unless its document is unknown
        loss = (
            -(clicked * self._over(ranks, first) * ranker).sum() - (clicked * self._over(ranker, first) * ranks).sum()
        )
        return loss / pages.total

    def _over(self, log_shares: Tensor, first: Tensor) -> Tensor:
        """The share at the first rank over that at each rank, (n, r), clipped, without gradient."""
        shares = log_shares.detach()
        return capped((shares.gather(1, first) - shares).exp(), self.clip)

    def believed(self) -> Bias:
        values = np.maximum(self.logits.detach().double().softmax(dim=1).numpy(), 1e-6)
        return Bias.of(values / values.max())
