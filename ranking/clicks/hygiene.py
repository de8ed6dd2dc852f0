"""Cleaning a click log: what cannot be true, what no person did, and how much of each there was.

Nothing is dropped without being counted, and everything streams: what is kept per client is a few numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranking.clicks.bots import Clients
from ranking.clicks.log import BATCH, ClickLog, Joining
from ranking.clicks.pages import Flags, Pages
from ranking.clicks.schema import IMPRESSIONS
from ranking.clicks.spill import Stream, together


@dataclass(frozen=True, slots=True)
class Rules:
    """What is dropped. Every value can be given; what is None is off.

    `min_dwell` is the shortest time a person takes to look at a document, `max_dwell` the longest to believe.
    `max_delay` is how long after its page an event still belongs to it. `max_page_clicks` clicks on a page, and
    `max_hour_clicks` of a client in an hour, are floods beyond. `flat_evidence` is the log of how many times likelier
    clicks that do not care for the rank have to make a client's clicks, once it has `flat_clicks` of them.
    `max_client_pages` bounds the influence of one client. Pages of the last `quarantine` of the log are held back.
    """

    min_dwell: timedelta | None = timedelta(seconds=1)
    max_dwell: timedelta | None = timedelta(days=1)
    max_delay: timedelta | None = timedelta(days=1)
    max_page_clicks: int | None = 20
    max_hour_clicks: int | None = 500
    flat_evidence: float | None = float(np.log(1000.0))
    flat_clicks: int = 30
    named_bots: bool = True
    max_client_pages: int | None = 10_000
    quarantine: timedelta | None = None


def _counts(text: str) -> Any:
    return field(default=0, metadata={"text": text})


@dataclass(slots=True)
class HygieneReport:
    """How many there were of each, in the order in which they are looked for."""

    pages_read: int = _counts("pages read")
    clicks_read: int = _counts("clicks read")
    orphans: int = _counts("events without a page, dropped")
    repeated_pages: int = _counts("pages whose query_id came before, dropped")
    empty_pages: int = _counts("pages without documents, dropped")
    damaged_pages: int = _counts("pages whose ranks are missing, out of order or below 1, dropped")
    pages_with_holes: int = _counts("pages with ranks that show nothing, kept")
    repeated_documents: int = _counts("documents shown twice on a page, the second dropped")
    flooded_pages: int = _counts("pages with a flood of clicks, dropped")
    outside: int = _counts("clicks on documents outside their page, dropped")
    moved: int = _counts("events whose rank differs from their page's, mended")
    skewed: int = _counts("events before their page (clock skew), moved to its time")
    late: int = _counts("events long after their page, dropped")
    negative_dwell: int = _counts("negative dwell times, blanked")
    long_dwell: int = _counts("dwell times too long to believe, blanked")
    short_dwell: int = _counts("clicks with a dwell too short for a person, dropped")
    duplicates: int = _counts("clicks on a document that its page had a click on, dropped")
    named_bots: int = _counts("clients that call themselves bots")
    flood_bots: int = _counts("clients with a flood of clicks within an hour")
    flat_bots: int = _counts("clients that click without regard to the rank")
    bot_pages: int = _counts("pages of those clients, dropped")
    capped_pages: int = _counts("pages beyond a client's share, dropped")
    quarantined_pages: int = _counts("pages in quarantine, held back")
    pages_kept: int = _counts("pages kept")
    clicks_kept: int = _counts("clicks kept")

    def lines(self) -> list[tuple[str, int]]:
        """(what was counted, how many), without the filters that found nothing."""
        always = ("pages_read", "clicks_read", "pages_kept", "clicks_kept")
        rows = [(each.name, each.metadata["text"], getattr(self, each.name)) for each in fields(self)]
        return [(text, count) for name, text, count in rows if count or name in always]


def clean(
    log: ClickLog, rules: Rules | None = None, report: HygieneReport | None = None, *, batch: int = BATCH
) -> Iterator[Pages]:
    """The pages of a log that a model should learn from; the report is complete when they have been taken.

    Reads the log twice: what is normal has to be known before what is not. Pages come in the log's order, but by hash
    where query_ids repeat.
    """
    use, found = rules or Rules(), HygieneReport() if report is None else report
    joining, partition = Joining(), _repeats(log)
    clients, newest = Clients(), None
    for pages in log.pages(batch, partition=partition):
        repaired = repair(pages, use, HygieneReport())
        clients.see(repaired)
        last = pc.max(repaired.impressions.column("time")).as_py()
        newest = last if newest is None or (last is not None and last > newest) else newest
    bots = clients.bots(use.flat_evidence, use.flat_clicks, use.max_hour_clicks, use.named_bots)
    found.named_bots, found.flood_bots, found.flat_bots = (
        int((bots == reason).sum()) for reason in ("named", "flood", "flat")
    )
    for pages in log.pages(batch, joining=joining, partition=partition):
        found.pages_read += len(pages)
        found.clicks_read += int(pages.of_kind("click").sum())
        kept = repair(pages, use, found)
        code = clients.codes(kept)
        robot = bots[np.minimum(code, len(bots) - 1)] != ""  # the last one stands for pages without a client
        found.bot_pages += int(robot.sum())
        kept, code = kept.take(~robot), code[~robot]
        if use.quarantine is not None and newest is not None:
            fresh = _true(pc.greater(kept.impressions.column("time"), pa.scalar(newest - use.quarantine)))
            found.quarantined_pages += int(fresh.sum())
            kept, code = kept.take(~fresh), code[~fresh]
        if use.max_client_pages is not None:
            over = clients.over(code, use.max_client_pages)
            found.capped_pages += int(over.sum())
            kept = kept.take(~over)
        found.pages_kept += len(kept)
        found.clicks_kept += int(kept.of_kind("click").sum())
        if len(kept):
            yield kept
    found.orphans, found.repeated_pages = joining.orphans, joining.repeated
    found.pages_read += joining.repeated


def repair(pages: Pages, rules: Rules, report: HygieneReport) -> Pages:
    """What can be told from the pages themselves: damaged ones dropped, events mended or dropped."""
    pages = _floods(_shown(pages, report), rules, report)
    return _collapsed(_events(pages, rules, report), report)


def _shown(pages: Pages, report: HygieneReport) -> Pages:
    empty = pages.lengths == 0
    report.empty_pages += int(empty.sum())
    report.damaged_pages += int((~pages.sound & ~empty).sum())
    pages = pages.take(pages.sound)
    first = pages.first
    report.repeated_documents += int((~first).sum())
    # Whether there is a hole is asked before second copies go: the slot of a copy did show something.
    ends = pages.ranks[pages.starts[1:] - 1] - pages.ranks[pages.starts[:-1]] + 1
    report.pages_with_holes += int((ends != pages.lengths).sum())
    return pages.take_slots(first)


def _floods(pages: Pages, rules: Rules, report: HygieneReport) -> Pages:
    if rules.max_page_clicks is None:
        return pages
    clicks = np.bincount(pages.page[pages.of_kind("click")], minlength=len(pages))
    flooded = clicks > rules.max_page_clicks
    report.flooded_pages += int(flooded.sum())
    return pages.take(~flooded)


def _events(pages: Pages, rules: Rules, report: HygieneReport) -> Pages:
    """Ranks, times and dwell times of events; a judgement may be of any document."""
    outside = (pages.slot < 0) & ~pages.of_kind("judgement")
    report.outside += int((outside & pages.of_kind("click")).sum())
    pages = pages.take_events(~outside)
    events, shown = pages.events, pages.slot >= 0
    rank = np.zeros(len(shown), dtype=np.int32)
    rank[shown] = pages.ranks[pages.slot[shown]]
    differs = _true(pc.not_equal(events.column("rank"), pa.array(rank))) & shown
    report.moved += int(differs.sum())
    ranks = pc.if_else(pa.array(shown), pa.array(rank), events.column("rank"))

    asked = pages.impressions.column("time").take(pa.array(pages.page))
    time = events.column("time")
    early = _true(pc.less(time, asked))
    report.skewed += int(early.sum())
    late = np.zeros(len(shown), dtype=np.bool_)
    if rules.max_delay is not None:
        late = _true(pc.greater(pc.subtract(time, asked), pa.scalar(rules.max_delay, pa.duration("us"))))
        report.late += int(late.sum())

    dwell = events.column("dwell_ms")
    negative = _true(pc.less(dwell, 0))
    report.negative_dwell += int(negative.sum())
    long = _beyond(dwell, rules.max_dwell)
    report.long_dwell += int(long.sum())
    short = np.zeros(len(shown), dtype=np.bool_)
    if rules.min_dwell is not None:
        short = _true(pc.less(dwell, rules.min_dwell // timedelta(milliseconds=1)))
        short &= ~negative & ~late & pages.of_kind("click")
        report.short_dwell += int(short.sum())
    mended = {
        "rank": ranks,
        "time": pc.if_else(pa.array(early), asked, time),
        "dwell_ms": pc.if_else(pa.array(negative | long), None, dwell),
    }
    return pages.with_events(mended).take_events(~(late | short))


def _collapsed(pages: Pages, report: HygieneReport) -> Pages:
    """One click per document of a page, the first, with the longest dwell of them; so for last clicks."""
    keep = np.ones(len(pages.page), dtype=np.bool_)
    dwell = np.array(pc.fill_null(pages.events.column("dwell_ms"), -1), dtype=np.int64)
    for kind in ("click", "last_click"):
        own = np.flatnonzero(pages.of_kind(kind))
        slots, first, group = np.unique(pages.slot[own], return_index=True, return_inverse=True)
        if len(slots) == len(own):
            continue
        longest = np.full(len(slots), -1, dtype=np.int64)
        np.maximum.at(longest, group, dwell[own])
        keep[own] = False
        keep[own[first]] = True
        dwell[own[first]] = longest
        report.duplicates += (len(own) - len(slots)) * (kind == "click")
    if keep.all():
        return pages
    return pages.with_events({"dwell_ms": pa.array(dwell, mask=dwell < 0)}).take_events(keep)


def _beyond(dwell: Any, most: timedelta | None) -> Flags:
    if most is None:
        return np.zeros(len(dwell), dtype=np.bool_)
    return _true(pc.greater(dwell, most // timedelta(milliseconds=1)))


def _true(flags: Any) -> Flags:
    """An Arrow comparison as flags; where a value is missing nothing can be said, so nothing is."""
    return np.asarray(pc.fill_null(flags, False), dtype=np.bool_)


def _repeats(log: ClickLog) -> bool:
    """Whether a query_id names two pages: its column alone is read."""
    if not log.aligned:
        return False  # the join counts them
    ids = pa.schema([IMPRESSIONS.field("query_id")])
    return any(
        pc.count_distinct(table.column("query_id")).as_py() < table.num_rows
        for (table,) in together([Stream(ids, log.column("query_id"))], "query_id")
    )
