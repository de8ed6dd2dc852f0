"""Objectives that first estimate the relevance of what was shown from its clicks, and then train as if that were known.

The loss of known relevance is pointwise (cross-entropy of each document) or listwise (softmax cross-entropy of a page).
Both are linear in the relevance, so an unbiased estimate of relevance gives an unbiased estimate of the loss.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, TypeAlias

import numpy as np
from torch import Tensor
from torch.nn.functional import softplus

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.objectives.protocol import Objective, capped, curve, log_share, tensor
from ranking.clicks.ltr.pages import Pages
from ranking.clicks.sessions import Floats, Sessions

Form: TypeAlias = Literal["pointwise", "listwise"]


def relevance_loss(form: Form, scores: Tensor, relevance: Tensor, pages: Pages) -> Tensor:
    """The loss of pages whose relevance (n, r) is known: the mean over pages of the sum over their ranks."""
    if form == "pointwise":
        loss = relevance * softplus(-scores) + (1.0 - relevance) * softplus(scores)
    else:
        loss = -relevance * log_share(scores, pages)
    return (pages.weight * loss).sum() / pages.total


class Estimated(Objective):
    """Trains on `relevance(pages)`.

    An unbiased estimate is below 0 or above 1 at times, and a loss of such a target has no lower bound: a single click
    at a low rank could drive a score to infinity. `bounded` therefore takes the mean estimate of each pair in the batch
    (which leaves the loss as it is) and cuts that to what relevance can be. Without it the loss is unbiased.
    """

    def __init__(self, form: Form, bounded: bool = True) -> None:
        super().__init__()
        self.form, self.bounded = form, bounded

    @abstractmethod
    def relevance(self, pages: Pages) -> Tensor:
        """An estimate of the relevance of what is shown, (n, r)."""

    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        relevance = self.relevance(pages)
        if self.bounded:
            relevance = pages.pooled(relevance).clamp(0.0, 1.0 if self.form == "pointwise" else None)
        return relevance_loss(self.form, scores, relevance, pages)


class Naive(Estimated):
    """Clicks are relevance, and no click is none of it."""

    def __init__(self, form: Form) -> None:
        super().__init__(form, bounded=False)  # a click is within the bounds

    def relevance(self, pages: Pages) -> Tensor:
        return pages.clicks


class Affine(Estimated):
    """The affine correction: (click - beta) / alpha (Vardasbi et al., CIKM 2020).

    1 / alpha is cut at `clip`: less variance for some bias.
    """

    alpha: Tensor
    beta: Tensor

    def __init__(self, form: Form, bias: Bias, clip: float | None = 10.0, bounded: bool = True) -> None:
        super().__init__(form, bounded)
        self._bias, self.clip = bias, clip
        self.register_buffer("alpha", tensor(bias.alpha))
        self.register_buffer("beta", tensor(bias.beta))

    def believed(self) -> Bias:
        return self._bias

    def inverse(self, pages: Pages) -> Tensor:
        """1 / alpha, clipped, (n, r)."""
        return capped(1.0 / curve(self.alpha, pages), self.clip)

    def relevance(self, pages: Pages) -> Tensor:
        return (pages.clicks - curve(self.beta, pages)) * self.inverse(pages)


class InversePropensity(Affine):
    """Clicks by the inverse of the propensity that their rank was examined, clipped.

    Listwise: Joachims, Swaminathan, Schnabel, "Unbiased learning-to-rank with biased feedback" (WSDM 2017). Pointwise:
    Saito et al., "Unbiased recommender learning from missing-not-at-random implicit feedback" (WSDM 2020).
    `self_normalised` scales the weights of a batch so that those of its clicks have mean 1 (Swaminathan and Joachims,
    "The self-normalized estimator for counterfactual learning", NIPS 2015): less variance again, and steps as large as
    the naive ones.
    """

    def __init__(
        self,
        form: Form,
        bias: Bias,
        clip: float | None = 10.0,
        self_normalised: bool = False,
        bounded: bool = True,
    ) -> None:
        super().__init__(form, Bias.of(bias.alpha), clip, bounded)
        self.self_normalised = self_normalised

    def relevance(self, pages: Pages) -> Tensor:
        relevance = super().relevance(pages)
        if self.self_normalised:
            clicks, weighted = (pages.weight * pages.clicks).sum(), (pages.weight * relevance).sum()
            relevance = relevance * (clicks / weighted.clamp(min=1e-12))
        return relevance


class DoublyRobust(Affine):
    """A regression's relevance, and the clicks that it leaves unexplained by their inverse propensity.

    relevance = R + (click - alpha R - beta) / rho, where R is what a model predicts for the pair and rho its exposure:
    the mean of alpha over the ranks at which the log shows it. With alpha and beta right, the estimate is unbiased
    where rho is right or R is. Oosterhuis, "Doubly robust estimation for correcting position bias in click feedback for
    unbiased learning to rank" (TOIS 41, 2023); examination is not seen, so its expected value stands in.

    `regression` and `exposure` have one value per row of the features. 1 / rho is cut at `clip`.
    """

    regression: Tensor
    exposure: Tensor

    def __init__(
        self,
        form: Form,
        bias: Bias,
        regression: Floats,
        exposure: Floats,
        clip: float | None = 10.0,
        bounded: bool = True,
    ) -> None:
        super().__init__(form, bias, clip, bounded)
        self.register_buffer("regression", tensor(regression))
        self.register_buffer("exposure", tensor(exposure))

    def relevance(self, pages: Pages) -> Tensor:
        predicted = pages.spread(self.regression[pages.rows])
        inverse = pages.spread(capped(1.0 / self.exposure[pages.rows], self.clip))
        expected = curve(self.alpha, pages) * predicted + curve(self.beta, pages)
        return predicted + inverse * (pages.clicks - expected)


def exposure(sessions: Sessions, bias: Bias, rows: int) -> Floats:
    """Each row's mean alpha over its impressions, (rows,); 1 for rows that the pages do not show."""
    shown = sessions.shown
    alpha, _ = bias.at(sessions.surface, sessions.ranks)
    each = np.broadcast_to(sessions.weight[:, None], shown.shape)[shown]
    count = np.bincount(sessions.pair[shown], each, minlength=rows)
    total = np.bincount(sessions.pair[shown], each * alpha[shown], minlength=rows)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1e-12), 1.0)
    return mean
