"""The Open Bandit Dataset: Saito et al., "Open Bandit Dataset and Pipeline", NeurIPS 2021 Datasets and Benchmarks.

One folder per policy and campaign (`random/men`, `bts/men`) holds `men.csv`, one row per item shown in one of three
slots, with the probability of showing it there, and `item_context.csv`, one row per item that could be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from eval.log.files import Table
from eval.log.reading import read_log
from eval.log.table import Log
from index.errors import InputError, NotFoundError

ITEMS: Final = "item_context.csv"
COLUMNS: Final = {
    "action": "item_id",
    "reward": "click",
    "propensity": "propensity_score",
    "position": "position",
}


def read_open_bandit(folder: Path, *, context: Sequence[str] = (), target: str | None = None) -> Log:
    """One log of the Open Bandit Dataset; its actions are all items of the campaign, shown or not.

    `context` may name the user's features, `user_feature_0` to `user_feature_3`. Each row is a page of its own: the
    data does not tell which three were shown together.

    Raises NotFoundError for a folder without the two files, InputError for rows that `Log.of` refuses and for items
    that `item_context.csv` does not have.
    """
    logs = sorted(path for path in folder.glob("*.csv") if path.name != ITEMS)
    if len(logs) != 1 or not (folder / ITEMS).is_file():
        raise NotFoundError(
            f"{folder} is no folder of the Open Bandit Dataset: it needs {ITEMS} and one other CSV file.",
            "Name such a folder, as random/men, or a log file.",
        )
    table = Table(folder / ITEMS, {"action": "item_id"}, ("action",))
    table.load([table.need("action")], [])
    items = table.labels("item_id").values
    log = read_log(logs[0], columns=COLUMNS, context=context, target=target, actions=items)
    if len(log.action.values) > len(items):
        unknown = log.action.values[len(items)]
        row = int(np.argmax(log.action.codes == len(items))) + 1
        raise InputError(
            f"Row {row} of {logs[0]} shows item {unknown}, which {ITEMS} does not have.",
            "Put the files of one campaign together.",
        )
    return log
