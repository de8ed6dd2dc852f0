"""The probe: a linear classifier of relevant documents, fitted for one query on frozen document vectors.

The prior says what the nearest-neighbour ranker says: relevant documents point to where the query and the documents
found relevant point. The likelihood of the feedback, positive and negative, corrects that. It is a maximum a posteriori
estimate with n feedback documents in 384 or so dimensions, so Newton's method in the n x n dual finds it in
well under a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from index.prior import Prior
from index.types import Ranking
from ranking.context import Context, Space, Vectors
from ranking.contract import Request
from ranking.options import number
from ranking.vectors import Examples, FloatArray, Linear, rank_by

MAX_STEPS = 100
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Probe:
    """score(d) = w . d + b, the log-odds that d is relevant.

    w has the prior N(w0, I / `precision`), where w0 points to the query, of weight a = `query_weight`, and to the
    relevant documents x_i, of weights p_i:

        pooled    w0 = `prior_scale` * (a query + sum p_i x_i) / (a + sum p_i)     the query is one more document
        balanced  w0 = `prior_scale` * (a query + mean of the x_i) / (1 + a)       the query weighs as much as all

    (They agree for one relevant document.) With `prior` "learned", which needs the space "learned", the index's own
    prior takes the place of all of this (`index.prior`), and "pooled" where none was learned. b is free but for a weak
    prior N(0, 1 / `bias_precision`), which keeps it
    finite where all feedback is of one class. Feedback of relevance r and weight s has the log-likelihood
    s (r log p + (1 - r) log (1 - p)) with p = sigmoid(score). Without feedback this is the scaled cosine to the query.
    """

    needs_vectors: ClassVar[bool] = True

    prior: Literal["pooled", "balanced", "learned"] = "pooled"
    prior_scale: float = number(16.0, low=0.0)
    query_weight: float = number(1.0, low=0.0)
    precision: float = number(0.3, low=1e-3)
    bias_precision: float = number(1e-3, low=1e-6)
    space: Space = "conditioned"
    depth: int = number(1000, low=1)

    def __post_init__(self) -> None:
        if self.prior == "learned" and self.space != "learned":
            raise InputError("A learned prior belongs to the learned space.", 'Write space = "learned" with it.')

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        queries = context.query_vectors([request.query for request in requests], self.space)
        learned = context.vectors.learned.prior if self.prior == "learned" else None
        scorers = [
            self.fit(query, Examples.of(request.feedback, context, self.space), learned)
            for query, request in zip(queries, requests, strict=True)
        ]
        return rank_by(scorers, requests, context, space=self.space, depth=self.depth)

    def fit(self, query: Vectors, examples: Examples, learned: Prior | None = None) -> Linear:
        """The classifier for one query vector of shape (dimension,)."""
        if learned is not None:
            return fit_learned(query, examples, learned, self.bias_precision)
        prior = self.prior_scale * self.prior_mean(query.astype(np.float64), examples)
        return fit_logistic(
            examples.vectors, examples.relevance, examples.weight, prior, self.precision, self.bias_precision
        )

    def prior_mean(self, query: FloatArray, examples: Examples) -> FloatArray:
        """What the prior points to, shape (dimension,), in cosines: `prior_scale` is still to be multiplied in."""
        if self.prior == "balanced":
            return (self.query_weight * query + examples.relevant_mean()) / (1.0 + self.query_weight)
        return pooled(query, examples, self.query_weight)


def pooled(query: FloatArray, examples: Examples, query_weight: float) -> FloatArray:
    """The mean of the query, which weighs `query_weight`, and the relevant documents, shape (dimension,)."""
    relevant = examples.relevant_weight
    wanted: FloatArray = query_weight * query + relevant @ examples.vectors.astype(np.float64)
    return wanted / max(query_weight + float(relevant.sum()), 1e-9)


def fit_learned(query: Vectors, examples: Examples, learned: Prior, bias_precision: float) -> Linear:
    """The classifier for one query vector of shape (dimension,), under a prior learned on the index.

    With w = prior + u + F v and u, v ~ N(0, I / precision) the covariance of w is the prior's own: so the problem is
    that of `fit_logistic` with the features x and F^T x side by side.
    """
    beside = examples.vectors.shape[1] - len(learned.factor)  # co-relevance, along which the prior is the same to all
    factor = np.pad(learned.factor.astype(np.float64), ((0, beside), (0, 0)))
    rows = examples.vectors.astype(np.float64)
    false_relevant, false_refused = learned.noise
    relevance = (1.0 - false_relevant) * examples.relevance + false_refused * (1.0 - examples.relevance)
    weight = examples.relevant_weight + learned.refused_weight * examples.not_relevant_weight
    prior = learned.scale * pooled(query.astype(np.float64), examples, learned.query_weight)
    wide = np.concatenate([prior, np.zeros(factor.shape[1])])
    features = np.concatenate([rows, rows @ factor], axis=1)
    found = fit_logistic(features, relevance, weight, wide, learned.precision, bias_precision)
    own, along = np.split(found.direction, [len(prior)])
    return Linear(own + factor @ along, found.offset)


def fit_logistic(
    rows: npt.NDArray[np.floating],
    labels: FloatArray,
    weights: FloatArray,
    prior: FloatArray,
    precision: float,
    bias_precision: float,
) -> Linear:
    """The minimum over (w, b) of the strictly convex

        precision / 2 |w - prior|^2 + bias_precision / 2 b^2 + sum_i weights_i (log(1 + exp z_i) - labels_i z_i)

    with z = rows w + b. `rows` has shape (n, d), `labels` in [0, 1] and `weights` >= 0 have shape (n,).

    At the minimum w = prior + rows^T a / precision and b = sum(a) / bias_precision, with n unknowns
    a = weights (labels - sigmoid(z)). With the kernel K = rows rows^T / precision + 1 / bias_precision,
    z = rows prior + K a: the mode of a Gaussian process classifier, and the Newton step below is the one that stays
    stable whatever the rank of K (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm
    3.1). A step that would raise the objective is halved until it does not.
    """
    x = rows.astype(np.float64)
    kernel = x @ x.T / precision + 1.0 / bias_precision
    start = x @ prior
    dual = np.zeros(len(x))

    def objective(a: FloatArray) -> float:
        z = start + kernel @ a
        return float(0.5 * a @ (z - start) + weights @ (np.logaddexp(0.0, z) - labels * z))

    value = objective(dual)
    for _ in range(MAX_STEPS):
        p = _sigmoid(start + kernel @ dual)
        residual = weights * (labels - p) - dual
        if np.abs(residual).max(initial=0.0) <= TOLERANCE * (1.0 + weights.max(initial=0.0)):
            break
        step = _newton_step(kernel, weights * p * (1.0 - p), residual)
        value, dual = _descend(objective, value, dual, step)
    return Linear(prior + x.T @ dual / precision, float(dual.sum()) / bias_precision)


def _newton_step(kernel: FloatArray, curvature: FloatArray, residual: FloatArray) -> FloatArray:
    """Solve (I + diag(curvature) K) step = residual, shape (n,), through a symmetric matrix with eigenvalues >= 1."""
    root = np.sqrt(curvature)
    system = np.eye(len(root)) + root[:, None] * kernel * root[None, :]
    # (I + C K)^-1 = I - R (I + R K R)^-1 R K with C = R R.
    step: FloatArray = residual - root * np.linalg.solve(system, root * (kernel @ residual))
    return step


def _descend(
    objective: Callable[[FloatArray], float], value: float, dual: FloatArray, step: FloatArray
) -> tuple[float, FloatArray]:
    """The first of step, step / 2, step / 4, ... that does not raise the objective (beyond what rounding may)."""
    slack = 1e-13 * (1.0 + abs(value))
    while (reached := objective(dual + step)) > value + slack:
        step = 0.5 * step
    return reached, dual + step


def _sigmoid(z: FloatArray) -> FloatArray:
    return 0.5 * (1.0 + np.tanh(0.5 * z))
