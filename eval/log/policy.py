"""A policy: with which probability it shows each action, by position and context.

It is a sparse table, because a ranking policy gives probability to a few documents of each query and to none of the
rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from eval.log.labels import Column, FloatArray, combine
from index.errors import InputError

SUM_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """t entries: in the situation of that `position` and `context`, `action` has that `probability`.

    Without positions the policy is the same at every position, without context the same in every context. An action
    that is not listed for a situation has probability 0 there.
    """

    name: str
    action: Column
    probability: FloatArray
    position: Column | None
    context: Mapping[str, Column]

    @classmethod
    def of(
        cls,
        action: Iterable[object] | Column,
        probability: npt.ArrayLike,
        *,
        position: Iterable[object] | Column | None = None,
        context: Mapping[str, Iterable[object] | Column] | None = None,
        name: str = "the policy",
    ) -> Policy:
        """A policy from parallel columns of length t.

        Raises InputError for an empty table, columns of different lengths, probabilities that are missing or outside
        [0, 1], an action listed twice in one situation, and situations whose probabilities do not sum to 1 (within
        1e-6).
        """
        chance = np.array(probability, dtype=np.float64).reshape(-1)
        made = cls(
            name=name,
            action=_column(action),
            probability=chance,
            position=None if position is None else _column(position),
            context={key: _column(labels) for key, labels in (context or {}).items()},
        )
        made._check()
        return made

    def columns(self) -> dict[str, Column]:
        """What tells the situations apart: the context and, under the name "position", the positions if they count."""
        return dict(self.context) | ({} if self.position is None else {"position": self.position})

    def _check(self) -> None:
        t = len(self.probability)
        if not t:
            raise InputError(f"{self.name} is empty.", "Give the probability of every action that the policy shows.")
        for name, column in {"action": self.action, **self.columns()}.items():
            if len(column) != t:
                raise InputError(
                    f"{self.name} has {t} probabilities and {len(column)} values of {name}.",
                    "Give one of each per line.",
                )
        wrong = ~((self.probability >= 0) & (self.probability <= 1))
        if wrong.any():
            line = int(wrong.argmax())
            raise InputError(
                f"Line {line + 1} of {self.name} has the probability {self.probability[line]:g}.",
                "A probability is at least 0 and at most 1.",
            )
        situation = combine(np.zeros(t, dtype=np.int64), *(column.codes for column in self.columns().values()))
        _, first, times = np.unique(combine(situation, self.action.codes), return_index=True, return_counts=True)
        if times.max() > 1:
            line = int(first[times.argmax()])
            raise InputError(
                f"{self.name} lists action {self.label(line)} {times.max()} times{self.where(line)}.",
                "Give each action one probability per situation.",
            )
        sums = np.bincount(situation, weights=self.probability)
        if (np.abs(sums - 1) > SUM_TOLERANCE).any():
            worst = int(np.abs(sums - 1).argmax())
            line = int((situation == worst).argmax())
            raise InputError(
                f"The probabilities of {self.name} sum to {sums[worst]:g}{self.where(line)}, not to 1.",
                "List every action that the policy shows, with its probability.",
            )

    def label(self, line: int) -> str:
        return self.action.values[int(self.action.codes[line])]

    def where(self, line: int) -> str:
        """The situation of a line in words, with a space before; nothing where there is only one situation."""
        columns = self.columns().items()
        words = ", ".join(f"{name} {column.values[int(column.codes[line])]}" for name, column in columns)
        return f" at {words}" if words else ""


def _column(labels: Iterable[object] | Column) -> Column:
    return labels if isinstance(labels, Column) else Column.of(labels)
