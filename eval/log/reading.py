"""Click logs and tables of policies from Parquet and CSV files (`eval.log.files` says which column is what)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.log.files import Table
from eval.log.labels import FloatArray
from eval.log.policy import Policy
from eval.log.table import Log
from index.errors import InputError


def read_log(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    context: Sequence[str] = (),
    target: str | None = None,
    actions: Sequence[str] = (),
) -> Log:
    """A click log from a file (.parquet, .csv, .csv.gz, .tsv) with one row per document shown.

    `columns` maps the roles action, reward, propensity, position and page to columns; a role without one is looked
    for by its usual names (`eval.log.files.USUAL`). Action and reward are needed. `context` are columns by their own
    names, `target` is the column of the target policy's probabilities, `actions` what could be shown besides what was.

    Raises NotFoundError for a missing file, InputError for a file that cannot be read, a column that is not there, and
    values that `Log.of` refuses.
    """
    table = Table(path, columns, ("action", "reward", "propensity", "position", "page"))
    action, reward = table.need("action"), table.need("reward")
    propensity, position, page = table.find("propensity"), table.find("position"), table.find("page")
    table.load([action, position, page, *context], [reward, propensity, target])
    return Log.of(
        table.labels(action),
        table.numbers(reward),
        table.numbers(propensity) if propensity else None,
        position=table.labels(position) if position else None,
        context={name: table.labels(name, blank=True) for name in context},
        page=table.labels(page) if page else None,
        target=table.numbers(target) if target else None,
        actions=actions,
        source=str(path),
    )


def read_policy(path: Path, columns: Mapping[str, str] | None = None) -> Policy:
    """A policy from a table of action, probability and maybe position; its other columns are columns of the log.

    `columns` may be the mapping of the log: what it names and the table lacks is looked for by its usual names.
    Without probabilities each line has probability 1: a fixed ranking, one line per query and position.

    Raises as `read_log` does, and InputError for what `Policy.of` refuses.
    """
    table = Table(path, columns, ("action", "probability", "position"), strict=False)
    action, probability, position = table.need("action"), table.find("probability"), table.find("position")
    context = [name for name in table.names if name not in (action, probability, position)]
    table.load([action, position, *context], [probability])
    actions = table.labels(action)
    return Policy.of(
        actions,
        table.numbers(probability) if probability else np.ones(len(actions)),
        position=table.labels(position) if position else None,
        context={name: table.labels(name, blank=True) for name in context},
        name=str(path),
    )


def read_beta(path: Path, columns: Mapping[str, str] | None = None) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Beta distributions of click rates: m actions, their alpha and their beta, both of shape (m,).

    Raises as `read_log` does, and InputError for an action that occurs twice.
    """
    table = Table(path, columns, ("action", "alpha", "beta"), strict=False)
    action, alpha, beta = table.need("action"), table.need("alpha"), table.need("beta")
    table.load([action], [alpha, beta])
    labels = table.labels(action)
    if len(labels.values) < len(labels):
        raise InputError(f"{path} names an action twice.", "Give each action one line of alpha and beta.")
    return tuple(labels.values[code] for code in labels.codes.tolist()), table.numbers(alpha), table.numbers(beta)
