"""What a click log holds, in figures, and what about it will trouble whoever learns from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranking.clicks.log import ClickLog, Joining
from ranking.clicks.pages import Pages

RANKS: Final = 50
"""Ranks that are told apart; deeper ones are counted together with the last."""


@dataclass(slots=True)
class Summary:
    """Figures of a log. `shown` and `clicked` count documents by rank, from rank 1; `lengths` pages by their number of
    documents; `events` and `arms` and `devices` by name. Queries, clients and sessions are distinct ones."""

    pages: int = 0
    documents: int = 0
    queries: int = 0
    clients: int = 0
    sessions: int = 0
    first: datetime | None = None
    last: datetime | None = None
    pages_with_clicks: int = 0
    propensities: int = 0  # pages that log them
    events: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    arms: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    shown: list[int] = field(default_factory=list)
    clicked: list[int] = field(default_factory=list)

    @property
    def rates(self) -> list[float | None]:
        """The click-through rate by rank; None where nothing was shown."""
        return [clicks / shown if shown else None for clicks, shown in zip(self.clicked, self.shown, strict=True)]

    def warnings(self) -> list[str]:
        """What makes the log unfit for one use or another, each with what follows from it."""
        found = []
        if self.pages and self.queries == 1:
            found.append("There is one query only: nothing that is learned is about queries in general.")
        if not sum(self.clicked):
            found.append("Nothing was clicked: no click model and no propensity can be fitted.")
        elif len(self.clicked) > 1 and not sum(self.clicked[1:]):
            found.append("All clicks are on rank 1: what is below is not told apart.")
        if len(self.lengths) > 1:
            few, most = min(self.lengths), max(self.lengths)
            found.append(f"Pages have from {few} to {most} documents: deep ranks are seen on some pages only.")
        if self.queries > 1 and self.pages == self.queries:
            found.append("Every query was asked once: most (query, document) pairs have a single observation.")
        return found


def summarise(log: ClickLog) -> tuple[Summary, Joining]:
    """The summary of a log, and what does not fit together in it where it is not aligned.

    Memory grows with the distinct queries, clients and sessions, some tens of bytes for each.
    """
    joining, made = Joining(), Summary()
    distinct: dict[str, set[int]] = {"query": set(), "client": set(), "session": set()}
    shown, clicked = np.zeros(RANKS, dtype=np.int64), np.zeros(RANKS, dtype=np.int64)
    for pages in log.pages(joining=joining):
        _add(made, pages)
        for name, seen in distinct.items():
            names = pc.unique(pages.impressions.column(name)).to_pylist()
            seen.update(hash(value) for value in names if value is not None)
        rank = np.clip(pages.ranks, 1, RANKS) - 1
        shown += np.bincount(rank, minlength=RANKS)
        clicked += np.bincount(rank[pages.clicked], minlength=RANKS)
    deepest = int(np.flatnonzero(shown).max(initial=-1)) + 1
    made.shown, made.clicked = shown[:deepest].tolist(), clicked[:deepest].tolist()
    made.queries, made.clients, made.sessions = (len(distinct[name]) for name in ("query", "client", "session"))
    return made, joining


def _add(made: Summary, pages: Pages) -> None:
    impressions = pages.impressions
    made.pages += len(pages)
    made.documents += int(pages.lengths.sum())
    made.pages_with_clicks += len(np.unique(pages.page_of_slot[pages.clicked]))
    made.propensities += len(pages) - impressions.column("propensities").null_count
    made.events.update(_counted([pages.events.column("kind")]))
    made.lengths.update(Counter(pages.lengths.tolist()))
    arms = pc.coalesce(impressions.column("arm"), impressions.column("pipeline_version"))
    made.arms.update(_counted([arms.drop_null()]))
    made.devices.update(_counted([impressions.column("device").drop_null()]))
    times = pc.min_max(impressions.column("time")).as_py()
    if times["min"] is not None:
        made.first = min(made.first or times["min"], times["min"])
        made.last = max(made.last or times["max"], times["max"])


def _counted(columns: Iterable[Any]) -> dict[str, int]:
    found = pc.value_counts(pa.chunked_array(columns, type=pa.string()))
    return {row["values"]: row["counts"] for row in found.to_pylist()}
