"""What operators ask of the store is the same on both databases."""

from __future__ import annotations

from dataclasses import replace

from server.events import Event
from server.operate.clicks import clicks
from server.operate.period import Buckets
from server.operate.traffic import traffic
from server.store import Page, Store
from tests.server.store.conftest import QUERY, a_round, asked


def test_traffic_and_clicks_are_counted(store: Store) -> None:
    for name in ("q1", "q2"):
        asked(store, replace(QUERY, id=name))
    store.add_event(Event("q1", "b", "click", position=2))
    store.add_event(Event("q1", "a", "relevant"))
    store.add_round(QUERY, a_round("b", "a", took_ms=12.5), Page(0, ("b",)), new=False)
    period = Buckets.of(1, "docs")
    found = traffic(store, period)
    assert sum(row.searches for row in found.searches) == 2
    assert sum(row.rounds for row in found.searches) == 1
    assert {row.p50_ms for row in found.searches} <= {12.5, None}
    assert sorted((row.kind, row.events) for row in found.feedback) == [("click", 1), ("relevant", 1)]
    assert [(row.index, row.version, row.rankings) for row in found.versions] == [("docs", "v1", 3)]
    seen = clicks(store, period)
    assert [(row.rank, row.shown, row.clicks) for row in seen.by_rank] == [(1, 2, 0), (2, 2, 1)]
    assert seen.propensity.state == "not-identified"
