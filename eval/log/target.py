"""A policy laid over a log: its probability for each logged row, and its entries in the terms of the log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.log.labels import FloatArray, IntArray, combine
from eval.log.policy import Policy
from eval.log.table import Log
from index.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The entries of a policy in the terms of a log of n rows.

    Entries of one situation lie together: situation g has the `length[g]` entries from `start[g]` on. `situation`, of
    shape (n,), is that of each row; `action` and `probability` have the shape (t,), the actions being codes of
    `actions`, which begins with the log's. `logged`, of shape (n,), is the policy's probability of what was logged.
    """

    actions: tuple[str, ...]
    situation: IntArray
    start: IntArray
    length: IntArray
    action: IntArray
    probability: FloatArray
    logged: FloatArray

    def entries(self, situations: IntArray) -> tuple[IntArray, IntArray]:
        """The entries of s situations, one situation after the other.

        Returns, both of shape (total,), the place in `situations` that each entry is for, and the entry.
        """
        counts = self.length[situations]
        owner = np.repeat(np.arange(len(situations)), counts)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        return owner, self.start[situations][owner] + offset


def lay(policy: Policy, log: Log) -> Target:
    """The policy in the terms of the log.

    Raises InputError for a context that the log was not read with, and for rows whose situation the policy does not
    have.
    """
    columns = policy.columns()
    known = {"position": log.position, **log.context}
    for name in columns:
        if name not in known:
            raise InputError(
                f"{policy.name} depends on {name}, which the log was not read with.", f"Add {name} to its context."
            )
    theirs = [column.over(known[name].values).codes for name, column in columns.items()]
    ours = [known[name].codes for name in columns]
    rows, lines = len(log), len(policy.probability)
    # The codes of the two are made together, so that equal situations get equal ones.
    both = combine(
        np.zeros(rows + lines, dtype=np.int64), *(np.concatenate(pair) for pair in zip(ours, theirs, strict=True))
    )
    situation, owner = both[:rows], both[rows:]
    length = np.bincount(owner, minlength=int(both.max()) + 1)
    _refuse_unknown(policy, log, length[situation] == 0)

    action = policy.action.over(log.action.values)
    order = np.lexsort((action.codes, owner))
    size = len(action.values)
    keys = owner[order] * size + action.codes[order]  # ascending: to be searched
    wanted = situation * size + log.action.codes
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    probability = policy.probability[order]
    return Target(
        actions=action.values,
        situation=situation,
        start=np.cumsum(length) - length,
        length=length,
        action=action.codes[order],
        probability=probability,
        logged=np.where(keys[place] == wanted, probability[place], 0.0),
    )


def _refuse_unknown(policy: Policy, log: Log, unknown: npt.NDArray[np.bool_]) -> None:
    if unknown.any():
        row = int(unknown.argmax())
        known = {"position": log.position, **log.context}
        words = ", ".join(f"{name} {known[name].values[int(known[name].codes[row])]}" for name in policy.columns())
        raise InputError(
            f"{policy.name} says nothing about {int(unknown.sum()):,} of the {len(log):,} rows of {log.source}, such as"
            f" those at {words}.",
            "Add what the policy shows there, or leave these rows out of the log.",
        )
