"""What training and adaptation minimise. All take scores of shape (n,) for the documents of one query."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax, softplus

TEACHER = 20.0
"""What a cosine is multiplied by to become a logit: the scale that all-MiniLM-L6-v2 was trained with."""


def binary(scores: Tensor, relevance: Tensor, weight: Tensor) -> Tensor:
    """Weighted cross-entropy with soft relevance in [0, 1]: mean of -r log p - (1 - r) log (1 - p), p =
    sigmoid(score)."""
    return binary_cross_entropy_with_logits(scores, relevance, weight, reduction="sum") / weight.sum().clamp_min(1e-9)


def pairwise(scores: Tensor, relevance: Tensor, weight: Tensor) -> Tensor:
    """Logistic loss of every pair, weighted by how much more relevant its first document is (RankNet: Burges et al.,
    "Learning to rank using gradient descent", ICML 2005). Zero where all documents are equally relevant."""
    more = (relevance[:, None] - relevance[None, :]).clamp_min(0.0) * weight[:, None] * weight[None, :]
    return (more * softplus(scores[None, :] - scores[:, None])).sum() / more.sum().clamp_min(1e-9)


def listwise(scores: Tensor, relevance: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy between relevance as a distribution and the softmax of the scores (ListNet: Cao et al., ICML 2007).
    Zero where nothing is relevant."""
    wanted = relevance * weight
    return -(wanted * log_softmax(scores, dim=0)).sum() / wanted.sum().clamp_min(1e-9)


def distilled(scores: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the softmax of the scores from the softmax of a teacher's."""
    wanted = log_softmax(teacher, dim=0)
    return (wanted.exp() * (wanted - log_softmax(scores, dim=0))).sum()


OBJECTIVES = {"binary": binary, "pairwise": pairwise, "listwise": listwise}


def finite(loss: Tensor) -> bool:
    return bool(torch.isfinite(loss))
