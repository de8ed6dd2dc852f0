"""Searches, rounds, times and feedback, counted by the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from starlette.testclient import TestClient

from server.operate.period import Buckets, iso
from server.operate.traffic import traffic
from server.store import Store
from server.store.tables import events, rankings
from tests.server.operate.conftest import PAGES
from tests.server.test_problems import problem


def test_everything_in_the_period_is_counted_once(busy: Store) -> None:
    found = traffic(busy, Buckets.of(7, None))
    with busy.reading() as connection:
        acts = connection.execute(select(func.count()).select_from(events)).scalar_one()
        ranked = connection.execute(select(func.count()).select_from(rankings)).scalar_one()
    assert sum(row.searches for row in found.searches) == PAGES
    assert sum(row.searches + row.rounds for row in found.searches) == ranked
    assert sum(row.events for row in found.feedback) == acts
    assert {row.kind for row in found.feedback} == {"click", "relevant"}
    assert {(row.pipeline, row.version) for row in found.versions} == {("fused", "fused-1"), ("bm25-qe", "bm25-qe-1")}
    assert sum(row.rankings for row in found.versions) == ranked


def test_times_are_quantiles_of_the_bucket(busy: Store) -> None:
    found = traffic(busy, Buckets.of(7, None))
    for row in found.searches:
        assert row.p50_ms is not None
        assert row.p95_ms is not None
        assert row.p50_ms <= row.p95_ms
    medians = {
        name: [row.p50_ms or 0 for row in found.searches if row.pipeline == name] for name in ("fused", "bm25-qe")
    }
    assert min(medians["fused"][:-1]) > max(medians["bm25-qe"][:-1])  # the last bucket has begun just now


def test_buckets_are_whole_and_in_utc() -> None:
    now = int(datetime.fromisoformat("2026-03-04T05:06:07+00:00").timestamp() * 1000)
    for days, seconds, begin in [
        (1, 3600, "2026-03-03T05:00:00Z"),
        (7, 21600, "2026-02-25T00:00:00Z"),
        (90, 86400, "2025-12-04T00:00:00Z"),
    ]:
        period = Buckets.of(days, None, now)
        assert period.shown.bucket_seconds == seconds
        assert period.shown.begin == begin
        assert period.name(now) <= iso(now)


def test_a_search_leaves_its_time(own_client: TestClient) -> None:
    own_client.post("/v1/search", json={"query": "fox"}).raise_for_status()
    (row,) = own_client.get("/v1/operation/traffic?days=1").json()["searches"]
    assert (row["searches"], row["rounds"]) == (1, 0)
    assert 0 < row["p50_ms"] == row["p95_ms"]


def test_what_cannot_be_asked_is_told(own_client: TestClient) -> None:
    for path in ("traffic", "clicks"):
        problem(own_client.get(f"/v1/operation/{path}?days=0"), 422, "invalid-input", "days")
        problem(own_client.get(f"/v1/operation/{path}?index=nope"), 404, "not-found", "index")
        assert own_client.get(f"/v1/operation/{path}?index=own").status_code == 200
