"""Where policies come from: uniform chance, a ranker's rankings, another log, beliefs about click rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from eval.log.labels import Column, combine
from eval.log.policy import Policy
from eval.log.table import Log
from index.errors import InputError
from index.types import Ranking

DRAWS_AT_ONCE: Final = 4096


def uniform(log: Log) -> Policy:
    """Every action that the log knows, with the same probability everywhere."""
    count = len(log.action.values)
    labels = Column(log.action.values, np.arange(count))
    return Policy.of(labels, np.full(count, 1 / count), name="uniform")


def fixed(rankings: Mapping[str, Ranking], positions: Sequence[str], query: str, name: str = "the run") -> Policy:
    """The policy that always shows these rankings: the k-th document at the k-th of `positions`.

    `rankings` are by query, and `query` names the column of the log with the queries. Raises InputError if there are
    none.
    """
    rows = [
        (document, position, topic)
        for topic, ranking in rankings.items()
        for document, position in zip(ranking.ids, positions, strict=False)
    ]
    documents, places, topics = zip(*rows, strict=True) if rows else ((), (), ())
    return Policy.of(documents, np.ones(len(rows)), position=places, context={query: topics}, name=name)


def frequencies(log: Log, smoothing: float = 0.0) -> Policy:
    """The policy that wrote a log, estimated by how often it showed each action at each position in each context.

    `smoothing` rows are added to each situation, spread evenly over the actions that the log knows: 0 takes the
    frequencies as they are. For a policy that changes while it is logged (a bandit that learns) this is its average
    over the time of the log, which is also what the log's own click rate measures.

    Raises InputError for a negative or infinite smoothing.
    """
    if not (smoothing >= 0 and np.isfinite(smoothing)):
        raise InputError(f"The smoothing {smoothing} is no amount of rows.", "Give 0 or more.")
    columns = {"position": log.position, **log.context}
    situation = combine(*(column.codes for column in columns.values()))
    _, first = np.unique(situation, return_index=True)
    size = len(log.action.values)
    seen, times = np.unique(situation * size + log.action.codes, return_counts=True)
    if smoothing:
        counts = np.zeros(len(first) * size)
        counts[seen] = times
        seen, times = np.arange(len(counts)), counts + smoothing / size
    owner, action = np.divmod(seen, size)
    rows = np.bincount(situation) + smoothing
    row = first[owner]  # a row of the log that is in the entry's situation
    labels = {name: Column(column.values, column.codes[row]) for name, column in columns.items()}
    return Policy.of(
        Column(log.action.values, action),
        times / rows[owner],
        position=labels.pop("position"),
        context=labels,
        name=f"the frequencies of {log.source}",
    )


def thompson(
    actions: Sequence[str],
    alpha: npt.ArrayLike,
    beta: npt.ArrayLike,
    positions: Sequence[str],
    *,
    draws: int = 100_000,
    seed: int = 0,
) -> Policy:
    """Bernoulli Thompson sampling with Beta(alpha, beta) beliefs about m click rates, by Monte Carlo simulation.

    Each draw samples one click rate per action and shows the actions at the positions in descending order of these
    (Chapelle & Li, "An empirical evaluation of Thompson sampling", NIPS 2011). This is how the Open Bandit Pipeline
    obtains the distribution of the policy `bts` from the beliefs that ZOZOTOWN published.

    Raises InputError for beliefs that are no positive numbers, one per action, and for more positions than actions.
    """
    a, b = np.array(alpha, dtype=np.float64), np.array(beta, dtype=np.float64)
    if not (len(a) == len(b) == len(actions) and bool(np.all((a > 0) & (b > 0) & np.isfinite(a) & np.isfinite(b)))):
        raise InputError("The alpha and beta of Thompson sampling are not positive for each action.", "Give both.")
    if not 0 < len(positions) <= len(actions):
        raise InputError(f"{len(actions)} actions cannot fill {len(positions)} positions.", "Give more actions.")
    if draws < 1:
        raise InputError(f"{draws} draws show nothing.", "Give at least one, 100000 is usual.")
    random = np.random.default_rng(seed)
    counts = np.zeros((len(positions), len(actions)))
    for begin in range(0, draws, DRAWS_AT_ONCE):
        rates = random.beta(a, b, size=(min(DRAWS_AT_ONCE, draws - begin), len(actions)))
        order = np.argsort(-rates, axis=1)[:, : len(positions)]
        for k in range(len(positions)):
            counts[k] += np.bincount(order[:, k], minlength=len(actions))
    place, action = np.nonzero(counts)
    return Policy.of(
        Column(tuple(actions), action),
        counts[place, action] / draws,
        position=Column(tuple(positions), place),
        name="Thompson sampling",
    )
