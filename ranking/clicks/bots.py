"""Who is no person: by name, by floods of clicks, and by clicks that do not care for the rank.

People click what is on top more. A client whose clicks fall on all ranks alike is a program. For a client with shown
documents s_r and clicks c_r at rank r, the log of the likelihood ratio of "flat" to "as everybody" is

    sum_r c_r * (log q_r - log p_r),   q_r = s_r / sum s,   p_r = s_r * ctr_r / sum(s * ctr)

where ctr_r is the click-through rate of the whole log. It needs two short rows of counts per client.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ranking.clicks.pages import Flags, Integers, Pages

RANKS: Final = 10
"""Ranks that are told apart; the last one stands for all below, too."""
_NAME: Final = re.compile(r"(?:^|[^a-z])(?:bot|crawler|spider)(?:$|[^a-z])|(?:bot|crawler|spider)$", re.IGNORECASE)
_HOUR_US: Final = 3_600_000_000


class Clients:
    """Counts by client: about 250 bytes for each, however long the log."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._shown = np.zeros((0, RANKS), dtype=np.int32)
        self._clicks = np.zeros((0, RANKS), dtype=np.int32)
        self._all_shown, self._all_clicks = np.zeros(RANKS), np.zeros(RANKS)
        self._hour = np.zeros(0, dtype=np.int64)
        self._in_hour = np.zeros(0, dtype=np.int32)
        self._peak = np.zeros(0, dtype=np.int32)
        self._taken = np.zeros(0, dtype=np.int64)

    def codes(self, pages: Pages) -> Integers:
        """The number of each page's client, shape (n,); -1 for pages without one."""
        encoded = pages.impressions.column("client").dictionary_encode()
        known = [self._known.setdefault(name, len(self._known)) for name in encoded.dictionary.to_pylist()]
        codes = np.array([*known, -1], dtype=np.int64)
        return codes[np.asarray(pc.fill_null(encoded.indices, len(known)), dtype=np.int64)]

    def see(self, pages: Pages) -> None:
        """Count the pages and clicks of a batch. Hours are counted right where each client's pages come in order."""
        code = self.codes(pages)
        self._grow()
        rank = np.minimum(pages.ranks, RANKS) - 1
        owner = code[pages.page_of_slot]
        np.add.at(self._all_shown, rank, 1)
        np.add.at(self._all_clicks, rank[pages.clicked], 1)
        known = owner >= 0
        np.add.at(self._shown, (owner[known], rank[known]), 1)
        clicked = known & pages.clicked
        np.add.at(self._clicks, (owner[clicked], rank[clicked]), 1)
        self._see_hours(pages, code)

    def bots(self, evidence: float | None, clicks: int, most_in_hour: int | None, named: bool) -> npt.NDArray[np.str_]:
        """Why each client is a bot: "named", "flood", "flat", or "" for people; one more "" for clients unknown."""
        self._grow()
        known = len(self._known)
        why = np.full(known + 1, "", dtype="U5")
        if evidence is not None:
            enough = self._clicks.sum(1) >= clicks
            why[:-1][(enough & (self._flatness() > evidence))[:known]] = "flat"
        if most_in_hour is not None:
            why[:-1][(np.maximum(self._peak, self._in_hour) > most_in_hour)[:known]] = "flood"
        if named:
            for name, code in self._known.items():
                if _NAME.search(name):
                    why[code] = "named"
        return why

    def over(self, code: Integers, most: int) -> Flags:
        """Which pages of a batch are beyond the first `most` of their client."""
        self._grow()
        order = np.argsort(code, kind="stable")
        ordered = code[order]
        begin = np.flatnonzero(np.diff(ordered, prepend=-2))
        sizes = np.diff(np.append(begin, len(ordered)))
        within = np.empty(len(code), dtype=np.int64)
        within[order] = np.arange(len(code)) - np.repeat(begin, sizes)
        known = code >= 0
        over = np.zeros(len(code), dtype=np.bool_)
        over[known] = within[known] + self._taken[code[known]] >= most
        np.add.at(self._taken, code[known], 1)
        return over

    def _flatness(self) -> npt.NDArray[np.float64]:
        ctr = (self._all_clicks + 1.0) / (self._all_shown + 2.0)
        clicks, shown = self._clicks.astype(np.float64), self._shown.astype(np.float64)
        expected = np.maximum(shown @ ctr, 1e-300)
        flat = np.log(expected) - np.log(np.maximum(shown.sum(1), 1.0))
        found: npt.NDArray[np.float64] = clicks.sum(1) * flat - clicks @ np.log(ctr)
        return found

    def _see_hours(self, pages: Pages, code: Integers) -> None:
        slots = np.flatnonzero(pages.of_kind("click"))
        time = pc.coalesce(pages.events.column("time"), pages.impressions.column("time").take(pages.page))
        hour = np.asarray(pc.fill_null(time.cast("int64"), -1), dtype=np.int64)[slots] // _HOUR_US
        owner = code[pages.page[slots]]
        usable = (owner >= 0) & (hour >= 0)
        if not usable.any():
            return
        keys, counts = np.unique(np.stack([owner[usable], hour[usable]]), axis=1, return_counts=True)
        for client, at, count in zip(*keys.tolist(), counts.tolist(), strict=True):
            if self._hour[client] != at:
                self._peak[client] = max(self._peak[client], self._in_hour[client])
                self._hour[client], self._in_hour[client] = at, 0
            self._in_hour[client] += count

    def _grow(self) -> None:
        missing = len(self._known) - len(self._hour)
        if missing > 0:
            room = max(missing, len(self._hour))  # twice as many: growing stays linear
            for name in ("_shown", "_clicks", "_hour", "_in_hour", "_peak", "_taken"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros((room, *array.shape[1:]), array.dtype)]))
