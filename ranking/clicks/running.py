"""Standings of experiments that are kept while their log grows, and clicks come on pages that were read already.

The tests go through the pages in the order in which they were shown, so a click on an old page changes all that comes
after it. What every page tells is kept, in 24 bytes, and the tests at checkpoints: a change costs the outcomes from the
last checkpoint before it. The standings are those of `standings` and `split_standings` on the same pages.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.clicks.interleaving import Duel
from ranking.clicks.pages import Page
from ranking.clicks.sequential import SequentialTest
from ranking.clicks.splits import SIDES, Side, SideCounts, SplitStanding, clicked
from ranking.clicks.standings import Standing, preference

EVERY: Final = 512
"""Outcomes between two checkpoints."""


class RunningDuel:
    """One duel. Pages have ids that rise with the time at which they were shown."""

    def __init__(self, duel: Duel) -> None:
        self.duel = duel
        self._pages, self._replay = _Column(), _Replay()

    def __len__(self) -> int:
        """How many pages are kept."""
        return len(self._pages.ids)

    def put(self, page_id: int, page: Page) -> None:
        """One more page, or the same page with more clicks."""
        told = preference(self.duel, page)
        self._replay.changed(self._pages.put(page_id, math.nan if told is None else told))

    def standing(self) -> Standing:
        """How the duel stands."""
        return Standing(self.duel, len(self), self._replay.over(self._pages.from_place(self._replay.start)))


class RunningSplit:
    """One traffic split. Page ids as those of a duel."""

    def __init__(self, experiment: str) -> None:
        self.experiment = experiment
        self._sides: dict[Side, _Column] = {side: _Column() for side in SIDES}
        self._replay = _Replay()

    def __len__(self) -> int:
        """How many pages are kept."""
        return sum(len(side.ids) for side in self._sides.values())

    def put(self, side: Side, page_id: int, page: Page) -> None:
        """One more page of a side, or the same page with more clicks."""
        self._replay.changed(self._sides[side].put(page_id, *clicked(page)))

    def standing(self) -> SplitStanding:
        """How the experiment stands."""
        first, second = (side.from_place(self._replay.start) for side in self._sides.values())
        pairs = min(len(first), len(second))
        one, other = (side.counts() for side in self._sides.values())
        return SplitStanding(self.experiment, one, other, self._replay.over(first[:pairs] - second[:pairs]))


@dataclass(slots=True)
class _Column:
    """What pages tell, in the order of their ids."""

    ids: array[int] = field(default_factory=lambda: array("q"))
    told: array[float] = field(default_factory=lambda: array("d"))
    clicks: array[int] = field(default_factory=lambda: array("q"))

    def put(self, page_id: int, told: float, clicks: int = 0) -> int:
        """Note a page at its place, which it gives."""
        place = bisect_left(self.ids, page_id)
        if place == len(self.ids) or self.ids[place] != page_id:
            self.ids.insert(place, page_id)
            self.told.insert(place, told)
            self.clicks.insert(place, clicks)
        self.told[place], self.clicks[place] = told, clicks
        return place

    def from_place(self, place: int) -> npt.NDArray[np.float64]:
        return np.array(self.told[place:], dtype=np.float64)

    def counts(self) -> SideCounts:
        told, clicks = self.from_place(0), np.array(self.clicks, dtype=np.int64)
        total = float(np.cumsum(told)[-1]) if len(told) else 0.0  # one by one, so rounded as page by page
        return SideCounts(len(told), int(np.count_nonzero(clicks)), int(clicks.sum()), total)


class _Replay:
    """A test of outcomes that may still change: it goes on from the last checkpoint before the change."""

    def __init__(self) -> None:
        self._kept = [SequentialTest()]

    @property
    def start(self) -> int:
        """The first place whose outcome `over` needs."""
        return (len(self._kept) - 1) * EVERY

    def changed(self, place: int) -> None:
        """The outcome at this place is another."""
        del self._kept[place // EVERY + 1 :]

    def over(self, outcomes: npt.NDArray[np.float64]) -> SequentialTest:
        """The test after all outcomes; these are the ones from `start` on, NaN where a page tells nothing."""
        test = self._kept[-1].copy()
        for begin in range(0, len(outcomes), EVERY):
            block = outcomes[begin : begin + EVERY]
            test.extend(block[~np.isnan(block)].tolist())
            if len(block) == EVERY:
                self._kept.append(test.copy())
        return test
