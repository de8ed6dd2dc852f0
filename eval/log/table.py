"""A click log as arrays: what was shown where, with which probability, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.log.labels import Column, FloatArray, IntArray
from index.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """n rows; each is one document shown at one position of one page. Build one with `Log.of`, which checks.

    `action` is what was shown, `reward` what it earned (1 for a click, 0 for none, or any finite number), `propensity`
    the probability in (0, 1] with which the logging policy showed this action at this position, None where the log
    does not tell. `context` is what both policies knew (the query, the device). `page`, of shape (n,), tells which rows
    were shown together. `target` is the target policy's probability of the action, where the log has it.
    """

    source: str
    action: Column
    reward: FloatArray
    propensity: FloatArray | None
    position: Column
    context: Mapping[str, Column]
    page: IntArray
    target: FloatArray | None

    @classmethod
    def of(
        cls,
        action: Iterable[object] | Column,
        reward: npt.ArrayLike,
        propensity: npt.ArrayLike | None = None,
        *,
        position: Iterable[object] | Column | None = None,
        context: Mapping[str, Iterable[object] | Column] | None = None,
        page: Iterable[object] | Column | None = None,
        target: npt.ArrayLike | None = None,
        actions: Sequence[str] = (),
        source: str = "the log",
    ) -> Log:
        """A log from parallel columns of length n >= 2.

        `actions` may name more actions than were logged. Without positions all rows have the same one; without pages
        each row is a page of its own.

        Raises InputError for fewer than two rows, columns of different lengths, a reward that is missing or not
        finite, and a propensity or target probability that is missing or outside (0, 1] or [0, 1].
        """
        rewards = _numbers("reward", reward)
        n = len(rewards)
        columns = {name: _column(labels) for name, labels in (context or {}).items()}
        log = cls(
            source=source,
            action=_column(action).over(actions),
            reward=rewards,
            propensity=None if propensity is None else _numbers("propensity", propensity),
            position=Column(("1",), np.zeros(n, dtype=np.int64)) if position is None else _column(position),
            context=columns,
            page=np.arange(n) if page is None else _column(page).codes,
            target=None if target is None else _numbers("target", target),
        )
        log._check()
        return log

    def _check(self) -> None:
        n = len(self)
        lengths = {"action": len(self.action), "position": len(self.position), "page": len(self.page)}
        lengths |= {name: len(column) for name, column in self.context.items()}
        lengths["propensity"] = n if self.propensity is None else len(self.propensity)
        lengths["target"] = n if self.target is None else len(self.target)
        for name, length in lengths.items():
            if length != n:
                raise InputError(
                    f"{self.source} has {n} rewards and {length} values of {name}.", "Give one of each per row."
                )
        if n < 2:
            raise InputError(
                f"{self.source} has {'one row' if n else 'no rows'}: that says nothing about how sure an answer is.",
                "Give a log of two rows or more.",
            )
        self._refuse("reward", self.reward, ~np.isfinite(self.reward), "A reward is a number: 1 for a click, 0 else.")
        if self.propensity is not None:
            bad = ~((self.propensity > 0) & (self.propensity <= 1))
            advice = "It is the probability with which the logging policy showed the action: above 0, at most 1."
            self._refuse("propensity", self.propensity, bad, advice)
        if self.target is not None:
            bad = ~((self.target >= 0) & (self.target <= 1))
            self._refuse("target probability", self.target, bad, "A probability is at least 0 and at most 1.")

    def _refuse(self, name: str, values: FloatArray, bad: npt.NDArray[np.bool_], advice: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            what = f"no {name}" if np.isnan(values[row]) else f"a {name} of {values[row]:g}"
            more = f", and {int(bad.sum()) - 1:,} more rows are like it" if bad.sum() > 1 else ""
            raise InputError(f"Row {row + 1} of {self.source} has {what}{more}.", advice)

    def __len__(self) -> int:
        return len(self.reward)


def _column(labels: Iterable[object] | Column) -> Column:
    return labels if isinstance(labels, Column) else Column.of(labels)


def _numbers(name: str, values: npt.ArrayLike) -> FloatArray:
    try:
        return np.array(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} values are no numbers: {error}.", "Give one number per row.") from error
