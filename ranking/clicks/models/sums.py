"""Sums over integer codes, which every fit here is made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking.clicks.sessions import Floats


def sums(codes: npt.NDArray[np.integer], values: Floats, size: int = 0) -> Floats:
    """The sum of the values of each code, shape (largest code + 1,), or (size,) where that is more."""
    return np.bincount(codes, values, size).astype(np.float64, copy=False)


def added(one: Floats, other: Floats) -> Floats:
    """The sum of two arrays, the shorter one continued with zeros."""
    if len(one) < len(other):
        one, other = other, one
    total = one.copy()
    total[: len(other)] += other
    return total


def spread(values: npt.NDArray[np.generic], where: npt.NDArray[np.bool_]) -> Floats:
    """One value per page, (n,), for each of its documents that `where`, (n, r), is true of: shape (m,)."""
    return np.broadcast_to(values[:, None], where.shape)[where].astype(np.float64, copy=False)
