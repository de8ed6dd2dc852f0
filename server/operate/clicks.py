"""What people's clicks say: which ranks they click, which pipelines they like, how likely each rank is looked at.

Only first pages of new questions count: feedback has moved the documents of later rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from math import sqrt
from typing import Final

from sqlalchemy import select

from index.errors import InputError
from ranking.clicks.interleaving import Duel
from ranking.clicks.pages import Page
from ranking.clicks.splits import CANARY, Split
from server.export import export_pages
from server.operate.answers import ClicksAnswer, PropensityInfo, QualityPoint, RankClicks, RankPropensity
from server.operate.period import Buckets
from server.store import Store
from server.store.tables import impressions

RANKS: Final = 10
MOST: Final = 20_000
"""Pages that one look reads, the newest ones: seconds of work."""
_BATCH: Final = 2000
_RESAMPLES: Final = 200


def clicks(store: Store, period: Buckets, most: int = MOST) -> ClicksAnswer:
    """Raises UnavailableError where the store cannot be read."""
    tally = _Tally(period)
    begin = _newest(store, most)
    cut = begin > period.begin
    begin = max(begin, period.begin)
    pages = export_pages(store, begin=_time(begin), end=_time(period.end), index=period.index)
    propensity = _propensity(tally.passing(pages))
    return ClicksAnswer(
        period=period.shown,
        pages=tally.pages,
        cut=cut,
        by_rank=tally.by_rank(),
        quality=tally.quality(),
        propensity=propensity,
    )


def _newest(store: Store, most: int) -> int:
    """When the oldest of the newest pages was shown; 0 where there are fewer."""
    asked = select(impressions.c.shown_ms).order_by(impressions.c.impression_id.desc()).offset(most - 1).limit(1)
    with store.reading() as connection:
        return connection.execute(asked).scalar() or 0


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@dataclass(slots=True)
class _Quality:
    pages: int = 0
    clicked: int = 0
    reciprocal: float = 0.0


@dataclass(slots=True)
class _Tally:
    """Counts first pages while they pass."""

    period: Buckets
    pages: int = 0
    _shown: list[int] = field(default_factory=lambda: [0] * RANKS)
    _clicked: list[int] = field(default_factory=lambda: [0] * RANKS)
    _quality: dict[tuple[str, str], _Quality] = field(default_factory=lambda: defaultdict(_Quality))

    def passing(self, pages: Iterable[Page]) -> Iterator[Page]:
        for page in pages:
            if page.ranks[:1] == range(1, 2) and not (page.arm or "").startswith("round:"):
                self._count(page)
                yield page

    def _count(self, page: Page) -> None:
        self.pages += 1
        acted = {event.document for event in page.events if event.kind == "click"}
        hits = [rank for rank, document in enumerate(page.documents, start=1) if document in acted]
        for place in range(min(len(page.documents), RANKS)):
            self._shown[place] += 1
        for rank in hits:
            if rank <= RANKS:
                self._clicked[rank - 1] += 1
        assert page.time is not None
        bucket = self.period.name(round(page.time.timestamp() * 1000))
        found = self._quality[bucket, ranked_by(page)]
        found.pages += 1
        if hits:
            found.clicked += 1
            found.reciprocal += 1 / hits[0]

    def by_rank(self) -> list[RankClicks]:
        rows = []
        for rank, (shown, clicked) in enumerate(zip(self._shown, self._clicked, strict=True), start=1):
            if shown:
                low, high = wilson(clicked, shown)
                rows.append(
                    RankClicks(rank=rank, shown=shown, clicks=clicked, share=clicked / shown, low=low, high=high)
                )
        return rows

    def quality(self) -> list[QualityPoint]:
        return [
            QualityPoint(
                bucket=bucket,
                pipeline=pipeline,
                pages=found.pages,
                clicked=found.clicked / found.pages,
                mrr=found.reciprocal / found.pages,
            )
            for (bucket, pipeline), found in sorted(self._quality.items())
        ]


def ranked_by(page: Page) -> str:
    """What made a page, in words: its pipeline, and what an experiment did beside."""
    pipeline = page.pipeline or ""
    if duel := Duel.of_arm(page.arm):
        return f"{duel.first} and {duel.second} together"
    if page.propensities is not None:
        return f"{pipeline}, exploring"
    side = Split.of_arm(page.arm)
    if side and side.side == "second" and side.experiment.startswith(CANARY):
        return f"{pipeline}, {side.experiment}"
    return pipeline


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share by Wilson (JASA 1927), 95% unless `z` says otherwise; `trials` > 0."""
    share, scale = successes / trials, 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def _propensity(pages: Iterable[Page]) -> PropensityInfo:
    from threadpoolctl import threadpool_limits

    from ranking.clicks.pages import Pages
    from ranking.clicks.propensity import Options, estimate, identify
    from ranking.clicks.propensity.reading import batches
    from ranking.clicks.sessions import Vocabulary

    read = iter(pages)
    parts = (Pages.of(some) for some in iter(lambda: list(islice(read, _BATCH)), []))
    held = list(batches(parts, Vocabulary(), batch=_BATCH, ranks=RANKS))
    clicked = sum(int(coded.clicks.sum()) for coded, _ in held)
    if not clicked:
        return PropensityInfo(
            state="empty",
            detail="There are no clicks on first pages in this period.",
            advice="Search and open results; or choose a longer period.",
        )
    report = identify(coded for coded, _ in held)
    components = [list(part) for part in report.components]
    try:
        if not report.connected and report.identified < 2:
            report.require()
        # scipy brings a BLAS of its own, loaded just now: its threads would only wait for each other.
        with threadpool_limits(1, user_api="blas"):
            found = estimate(held, "auto", Options(ranks=report.identified, resamples=_RESAMPLES))
    except InputError as error:
        return PropensityInfo(state="not-identified", components=components, detail=error.message, advice=error.advice)
    curve = found.curves[0]
    whole = report.connected
    return PropensityInfo(
        state="partly" if not whole else "unsure" if curve.warnings else "identified",
        method=found.method,
        confidence=found.confidence,
        ranks=[
            RankPropensity(rank=rank, propensity=value, low=low, high=high)
            for rank, (value, low, high) in enumerate(zip(curve.propensity, curve.low, curve.high, strict=True), 1)
        ],
        components=components,
        detail=f"The store's pages tell the first {curve.ranks} ranks.",
        advice="" if whole else "For the others, let a share of the traffic explore (the setting exploration).",
        warnings=list(curve.warnings),
    )
