"""Objectives over pairs of a clicked and a not clicked document of one page."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.objectives.protocol import Objective, capped, curve, tensor
from ranking.clicks.ltr.pages import Pages


def pair_losses(scores: Tensor, pages: Pages) -> Tensor:
    """log(1 + exp(s_j - s_i)) where i is clicked and j shown and not, else 0; (n, r, r) by i and j, weighted."""
    clicked = pages.weight * pages.clicks
    passed = pages.shown * (1.0 - pages.clicks)
    margins = scores[:, :, None] - scores[:, None, :]
    return clicked[:, :, None] * passed[:, None, :] * softplus(-margins)


class PairDebias(Objective):
    """Pairwise debiasing: a pair (clicked at i, not clicked at j) counts by 1 / (t+_i t-_j).

    Hu et al., "Unbiased LambdaMART: an unbiased pairwise learning-to-rank algorithm" (WWW 2019). The ratios of bias are
    their closed form given the ranker, t+_i = (sum_j L_ij / t-_j over that of i = 1)^(1 / (1 + p)) and t-_j alike,
    from sums over batches of which older ones fade by `memory`. `p` pulls the ratios to 1.
    """

    clicked: Tensor
    passed: Tensor

    def __init__(self, ranks: int, p: float = 1.0, memory: float = 0.95, clip: float | None = 10.0) -> None:
        super().__init__()
        self.p, self.memory, self.clip = p, memory, clip
        # What the ratios are made of: the loss of pairs by the rank of the click, and by the rank passed over.
        self.register_buffer("clicked", torch.ones(ranks))
        self.register_buffer("passed", torch.ones(ranks))

    def ratios(self) -> tuple[Tensor, Tensor]:
        """t+ and t-, (ranks,) each, 1 at the first rank."""

        def ratio(sums: Tensor) -> Tensor:
            relative = (sums / sums[0].clamp(min=1e-12)) ** (1.0 / (1.0 + self.p))
            return relative.clamp(min=1.0 / self.clip if self.clip else 1e-6)

        return ratio(self.clicked), ratio(self.passed)

    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        losses = pair_losses(scores, pages)
        plus, minus = (values[: pages.ranks] for values in self.ratios())
        if self.training:
            by_rank = losses.detach().sum(dim=0) / pages.total
            self._learn((by_rank / minus).sum(dim=1), (by_rank / plus[:, None]).sum(dim=0))
        return (losses / (plus[:, None] * minus)).sum() / pages.total

    def _learn(self, clicked: Tensor, passed: Tensor) -> None:
        for sums, fresh in ((self.clicked, clicked), (self.passed, passed)):
            part = sums[: len(fresh)]
            part.mul_(self.memory).add_(fresh, alpha=1.0 - self.memory)

    def believed(self) -> Bias:
        plus = self.ratios()[0].double().numpy()
        return Bias.of(plus / plus.max())


class PropensityRatio(Objective):
    """Propensity-ratio scoring: a pair (clicked at i, not clicked at j) counts by theta_j / theta_i.

    The click is corrected as ever; what was passed over counts as far as it was likely examined, so that a relevant
    document far down is not held to be irrelevant. Wang et al., "Non-clicks mean irrelevant? Propensity ratio scoring
    as a correction" (WSDM 2021). Ratios are cut at `clip`.
    """

    theta: Tensor

    def __init__(self, bias: Bias, clip: float | None = 10.0) -> None:
        super().__init__()
        self._bias, self.clip = Bias.of(bias.alpha), clip
        self.register_buffer("theta", tensor(bias.alpha))

    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        theta = curve(self.theta, pages)
        ratio = capped(theta[:, None, :] / theta[:, :, None], self.clip)
        return (ratio * pair_losses(scores, pages)).sum() / pages.total

    def believed(self) -> Bias:
        return self._bias
