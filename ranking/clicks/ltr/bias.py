"""How a page turns relevance into clicks: P(click) = alpha x relevance + beta, with alpha and beta by rank and surface.

beta = 0 is the position-based model, whose alpha is the propensity of examination; with trust bias people also click
what is not relevant, and beta > 0 (Vardasbi, Oosterhuis, de Rijke, "When inverse propensity scoring does not work:
affine corrections for unbiased learning to rank", CIKM 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from ranking.clicks.sessions import Floats


@dataclass(frozen=True, eq=False)
class Bias:
    """`alpha` and `beta` have shape (surfaces, ranks); one row serves all surfaces."""

    alpha: Floats
    beta: Floats

    @classmethod
    def of(cls, alpha: npt.ArrayLike, beta: npt.ArrayLike = 0.0) -> Bias:
        """Curves of shape (ranks,) or (surfaces, ranks). Raises InputError where they are no probabilities."""
        curve = np.atleast_2d(np.asarray(alpha, dtype=np.float64))
        floor = np.broadcast_to(np.asarray(beta, dtype=np.float64), curve.shape)
        top = curve + floor
        if curve.ndim != 2 or not np.isfinite(top).all() or (curve <= 0).any() or (floor < 0).any() or top.max() > 1:
            raise InputError(
                "The propensities are not usable: each has to be above 0, and the chance of a click at most 1.",
                "Fit them again, or give more clicks to the ranks that have none.",
            )
        return cls(curve, floor)

    @classmethod
    def none(cls, ranks: int) -> Bias:
        """As if each click, and each click left out, told of relevance."""
        return cls.of(np.ones(ranks))

    @property
    def ranks(self) -> int:
        return int(self.alpha.shape[1])

    def at(self, surface: npt.NDArray[np.integer], ranks: int) -> tuple[Floats, Floats]:
        """alpha and beta of pages on these surfaces, shape (pages, ranks) each. Raises what `check` raises."""
        self.check(int(surface.max(initial=0)) + 1, ranks)
        row = surface if len(self.alpha) > 1 else np.zeros_like(surface)
        return self.alpha[row, :ranks], self.beta[row, :ranks]

    def check(self, surfaces: int, ranks: int) -> None:
        """Raises InputError where pages have more ranks, or other surfaces, than the propensities are known for."""
        if ranks > self.ranks:
            raise InputError(
                f"The pages have {ranks} ranks, and propensities are known for {self.ranks}.",
                "Fit propensities on a log with pages as long.",
            )
        if surfaces > len(self.alpha) > 1:
            raise InputError(
                f"The pages are of {surfaces} surfaces, and propensities are known for {len(self.alpha)}.",
                "Fit propensities on a log with the same surfaces.",
            )

    def to_json(self) -> dict[str, Any]:
        return {"alpha": self.alpha.round(6).tolist(), "beta": self.beta.round(6).tolist()}
