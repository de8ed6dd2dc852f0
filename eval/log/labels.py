"""Columns of labels (documents, positions, queries) as small integers, which is what arrays can work with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """n labels: `values` are the distinct ones and `codes`, of shape (n,), has the place in `values` of each."""

    values: tuple[str, ...]
    codes: IntArray

    @classmethod
    def of(cls, labels: Iterable[object]) -> Column:
        """A column of these labels as text, so that the 7 of a Parquet file is the "7" of a CSV file."""
        texts = np.array([str(label) for label in labels], dtype=object)
        values, codes = np.unique(texts, return_inverse=True)
        return cls(tuple(values.tolist()), codes.astype(np.int64))

    def over(self, values: Sequence[str]) -> Column:
        """The same labels by a vocabulary that begins with `values`; the labels it lacks are added to its end."""
        place = {value: i for i, value in enumerate(values)}
        for value in self.values:
            place.setdefault(value, len(place))
        moved = np.array([place[value] for value in self.values], dtype=np.int64)
        return Column(tuple(place), moved[self.codes])

    def __len__(self) -> int:
        return len(self.codes)


def combine(*parts: IntArray) -> IntArray:
    """One code per row such that two rows have the same one if and only if they agree in every part.

    Parts and result have the shape (n,); the codes are 0 .. m - 1 with each one in use.
    """
    joint = np.unique(parts[0], return_inverse=True)[1]
    for part in parts[1:]:
        # Made dense after every step, so that the product stays below n squared.
        dense = np.unique(part, return_inverse=True)[1]
        joint = np.unique(joint * (int(dense.max(initial=0)) + 1) + dense, return_inverse=True)[1]
    return joint.astype(np.int64)
