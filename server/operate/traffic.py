"""How much is asked and answered, how fast, by which versions: counted by the database."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import numpy as np
from sqlalchemy import Select, case, func, select

from server.operate.answers import FeedbackPoint, ServedVersion, TrafficAnswer, TrafficPoint
from server.operate.period import Buckets, iso
from server.store import Store
from server.store.tables import events, queries, rankings

TIMED: Final = 20_000
"""The newest rankings whose times make the quantiles: more would tell little and cost much."""


def traffic(store: Store, period: Buckets) -> TrafficAnswer:
    """Raises UnavailableError where the store cannot be read."""
    with store.reading() as connection:
        counted = connection.execute(_counted(period)).all()
        acts = connection.execute(_acts(period)).all()
        served = connection.execute(_served(period)).all()
        taken = connection.execute(_taken(period)).all()
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    for bucket, pipeline, took in taken:
        times[bucket, pipeline].append(took)
    return TrafficAnswer(
        period=period.shown,
        searches=[
            TrafficPoint(
                bucket=iso(bucket * period.width),
                pipeline=pipeline,
                searches=total - again,
                rounds=again,
                p50_ms=_quantile(times[bucket, pipeline], 0.5),
                p95_ms=_quantile(times[bucket, pipeline], 0.95),
            )
            for bucket, pipeline, total, again in counted
        ],
        feedback=[FeedbackPoint(bucket=iso(bucket * period.width), kind=kind, events=n) for bucket, kind, n in acts],
        versions=[
            ServedVersion(
                index=index,
                pipeline=pipeline,
                version=version,
                generation=generation,
                rankings=n,
                first=iso(first),
                last=iso(last),
            )
            for index, pipeline, version, generation, n, first, last in served
        ],
    )


def _within(asked: Select[Any], period: Buckets, column: Any) -> Select[Any]:
    asked = asked.where(column >= period.begin, column < period.end)
    return asked if period.index is None else asked.where(queries.c.index == period.index)


def _counted(period: Buckets) -> Select[Any]:
    bucket = (rankings.c.ranked_ms // period.width).label("bucket")
    again = func.sum(case((rankings.c.round > 1, 1), else_=0))
    asked: Select[Any] = select(bucket, rankings.c.pipeline, func.count(), again).join(queries)
    key = (bucket, rankings.c.pipeline)
    return _within(asked, period, rankings.c.ranked_ms).group_by(*key).order_by(*key)


def _taken(period: Buckets) -> Select[Any]:
    bucket = (rankings.c.ranked_ms // period.width).label("bucket")
    asked: Select[Any] = select(bucket, rankings.c.pipeline, rankings.c.took_ms).join(queries)
    asked = _within(asked, period, rankings.c.ranked_ms).where(rankings.c.took_ms.is_not(None))
    return asked.order_by(rankings.c.ranked_ms.desc()).limit(TIMED)


def _quantile(times: list[float], share: float) -> float | None:
    return float(np.quantile(times, share)) if times else None


def _acts(period: Buckets) -> Select[Any]:
    bucket = (events.c.received_ms // period.width).label("bucket")
    asked = select(bucket, events.c.kind, func.count()).join(queries)
    key = (bucket, events.c.kind)
    return _within(asked, period, events.c.received_ms).group_by(*key).order_by(*key)


def _served(period: Buckets) -> Select[Any]:
    key = (queries.c.index, rankings.c.pipeline, rankings.c.version, rankings.c.generation)
    when = rankings.c.ranked_ms
    asked: Select[Any] = select(*key, func.count(), func.min(when), func.max(when)).join(queries)
    return _within(asked, period, when).group_by(*key).order_by(func.max(when).desc()).limit(100)
