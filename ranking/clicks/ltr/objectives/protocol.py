"""What an objective is: a loss of scores and clicks, with what it believes about the bias of ranks."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.pages import Pages


class Objective(nn.Module, ABC):
    """A loss to make small. Its parameters, if any, are trained with the scorer's; its buffers are kept with them."""

    @abstractmethod
    def forward(self, scores: Tensor, pages: Pages) -> Tensor:
        """The mean loss of a page (a scalar), for the scores (n, r) of what is shown at its ranks.

        Scores where nothing is shown are arbitrary and without effect.
        """

    def believed(self) -> Bias | None:
        """The bias that clicks are corrected by, as known or as learned so far; None where they are taken as they are.

        What the held-out clicks are corrected by when training asks whether it is time to stop.
        """
        return None


def curve(values: Tensor, pages: Pages) -> Tensor:
    """Values by surface and rank, (s, ranks), at the impressions of the pages, (n, r). One row serves all surfaces."""
    row = pages.surface if len(values) > 1 else torch.zeros_like(pages.surface)
    return values[row, : pages.ranks]


def log_share(scores: Tensor, pages: Pages) -> Tensor:
    """The logarithm of the softmax over what a page shows, (n, r); 0 where nothing is shown."""
    masked = scores.masked_fill(~pages.shown, -torch.inf)
    # A page that shows nothing would be NaN.
    masked = torch.where(pages.shown.any(dim=1, keepdim=True), masked, torch.zeros(()))
    return masked.log_softmax(dim=1).masked_fill(~pages.shown, 0.0)


def capped(values: Tensor, clip: float | None) -> Tensor:
    """Values cut at `clip`, as they are without one."""
    return values if clip is None else values.clamp(max=clip)


def tensor(values: object) -> Tensor:
    """A copy of numbers as float32."""
    return torch.tensor(np.asarray(values), dtype=torch.float32)
