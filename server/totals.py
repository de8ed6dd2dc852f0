"""Running totals of the experiments in the store: a look reads what came since the last one.

They live in memory and are made anew, from all pages, at the first look and whenever something was removed: a person
erased, old data pruned. What a fresh read would say they say.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import RowMapping, or_, select

from ranking.clicks.interleaving import Duel
from ranking.clicks.pages import Page
from ranking.clicks.running import RunningDuel, RunningSplit
from ranking.clicks.splits import PREFIX, Split, SplitStanding
from ranking.clicks.standings import Standing
from server.export import Watermark, pages_where
from server.store import Store
from server.store.tables import events, impressions

MOST: Final = 4_000_000
"""Pages of experiments that are kept between looks, 24 bytes each. With more of them every look reads all."""


@dataclass(slots=True)
class _Kept:
    """What was read as far as `until`, by index and experiment."""

    until: Watermark
    duels: dict[tuple[str, str], RunningDuel] = field(default_factory=dict)
    splits: dict[tuple[str, str], RunningSplit] = field(default_factory=dict)

    def put(self, row: RowMapping, page: Page) -> None:
        index, page_id = row["index"], row["impression_id"]
        duel, split = Duel.of_arm(row["arm"]), Split.of_arm(row["arm"])
        if duel is not None and row["credits"] is not None:
            self.duels.setdefault((index, duel.arm), RunningDuel(duel)).put(page_id, page)
        if split is not None:
            running = self.splits.setdefault((index, split.experiment), RunningSplit(split.experiment))
            running.put(split.side, page_id, page)

    def pages(self) -> int:
        return sum(len(running) for kept in (self.duels, self.splits) for running in kept.values())


class Totals:
    """The duels and the splits of one store. Thread-safe: who looks waits for others who do."""

    def __init__(self, store: Store, most: int = MOST) -> None:
        self._store, self._most = store, most
        self._kept = _Kept(Watermark())
        self._turn = threading.Lock()

    def duels(self) -> list[tuple[str, Standing]]:
        """How the duels stand, each with its index. Raises UnavailableError where the store cannot be read."""
        with self._turn:
            return [(index, running.standing()) for (index, _), running in self._current().duels.items()]

    def splits(self) -> list[tuple[str, SplitStanding]]:
        """How the splits stand, each with its index. Raises UnavailableError where the store cannot be read."""
        with self._turn:
            return [(index, running.standing()) for (index, _), running in self._current().splits.items()]

    def _current(self) -> _Kept:
        now = Watermark.of(self._store)
        kept = self._kept
        if now.removals != kept.until.removals:
            kept = _Kept(Watermark(removals=now.removals))
        for row, page in _grown(self._store, kept.until, now):
            kept.put(row, page)
        kept.until = now
        self._kept = kept if kept.pages() <= self._most else _Kept(Watermark())
        return kept


def _grown(store: Store, since: Watermark, now: Watermark) -> Iterator[tuple[RowMapping, Page]]:
    """The pages of experiments between two watermarks, and the ones before of queries that were clicked since."""
    page = impressions.c.impression_id
    trial = or_(impressions.c.credits.is_not(None), impressions.c.arm.startswith(PREFIX, autoescape=True))
    if since.page and now.event > since.event:
        clicked = select(events.c.query_id).where(
            events.c.event_id > since.event, events.c.event_id <= now.event, events.c.kind == "click"
        )
        known = [trial, page <= since.page, impressions.c.query_id.in_(clicked)]
        yield from pages_where(store, known, now)
    if now.page > since.page:
        yield from pages_where(store, [trial, page > since.page], now)
