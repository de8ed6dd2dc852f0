"""Clicks by rank, quality by pipeline, and propensities of the store's own pages."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest
from sqlalchemy import func, select

from ranking.clicks.pages import Page
from server.operate.clicks import clicks, ranked_by, wilson
from server.operate.period import Buckets
from server.store import Store
from server.store.tables import events, impressions
from tests.server.operate.conftest import PAGES
from tests.server.traffic import LENGTH, fill


def test_click_through_counts_first_pages_only(busy: Store) -> None:
    found = clicks(busy, Buckets.of(7, None))
    with busy.reading() as connection:
        made = connection.execute(select(func.count()).where(events.c.kind == "click")).scalar_one()
        again = connection.execute(select(func.count()).where(impressions.c.round > 1)).scalar_one()
    assert found.pages == PAGES
    assert again > 100  # which do not count
    assert [row.rank for row in found.by_rank] == list(range(1, LENGTH + 1))
    assert {row.shown for row in found.by_rank} == {PAGES}
    assert sum(row.clicks for row in found.by_rank) == made
    assert all(row.low < row.share < row.high for row in found.by_rank)


def test_quality_is_told_by_pipeline_over_time(busy: Store) -> None:
    found = clicks(busy, Buckets.of(7, None))
    assert sum(row.pages for row in found.quality) == PAGES
    assert {row.pipeline for row in found.quality} == {"fused", "bm25-qe"}
    assert len({row.bucket for row in found.quality}) >= 24

    def mrr(pipeline: str) -> float:
        rows = [row for row in found.quality if row.pipeline == pipeline]
        return sum(row.mrr * row.pages for row in rows) / sum(row.pages for row in rows)

    assert mrr("fused") > mrr("bm25-qe") + 0.05  # it ranks by relevance


@pytest.mark.parametrize(
    ("arm", "propensities", "told"),
    [
        (None, None, "fused"),
        ("adjacent:1:2", [0.5, 0.5], "fused, exploring"),
        ("adjacent:9:10", [0.5, 0.5], "fused, exploring"),
        ("team-draft:fused:bm25", None, "fused and bm25 together"),
        ("split:fused:bm25:first", None, "fused"),
        ("split:bm25:fused:second", None, "fused"),
        ("split:canary:3:first", None, "fused"),
        ("split:canary:3:second", None, "fused, canary:3"),
    ],
)
def test_pages_of_experiments_are_told_apart(arm: str | None, propensities: list[float] | None, told: str) -> None:
    assert ranked_by(Page("q", "", ["a", "b"], pipeline="fused", arm=arm, propensities=propensities)) == told


def test_propensities_are_those_that_made_the_clicks(busy: Store) -> None:
    found = clicks(busy, Buckets.of(7, None)).propensity
    assert found.state in ("identified", "unsure")
    assert found.method == "harvest"
    assert [row.rank for row in found.ranks] == list(range(1, LENGTH + 1))
    for row in found.ranks[:5]:
        assert row.propensity == pytest.approx(row.rank**-0.7, abs=0.15)
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.propensity <= row.high
    assert found.components == [list(range(1, LENGTH + 1))]


def test_only_the_newest_pages_are_read_where_there_are_many(busy: Store) -> None:
    found = clicks(busy, Buckets.of(7, None), most=300)
    assert found.cut
    assert 200 < found.pages <= 300  # second rounds are among the newest pages, too
    assert not clicks(busy, Buckets.of(7, None)).cut


def test_the_period_and_the_index_are_kept_to(busy: Store) -> None:
    assert clicks(busy, Buckets.of(2, None)).pages == pytest.approx(PAGES / 3, abs=PAGES / 100)
    assert clicks(busy, Buckets.of(7, "another")).pages == 0


def test_an_empty_store_says_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('empty')}/store.db")
    found = clicks(store, Buckets.of(7, None))
    assert (found.pages, found.by_rank, found.quality) == (0, [], [])
    assert found.propensity.state == "empty"
    assert found.propensity.advice
    store.close()


def test_one_ranker_that_never_disagrees_tells_no_propensities(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('same')}/store.db")
    fill(store, "pets", 200, disagree=False)
    found = clicks(store, Buckets.of(7, None))
    assert sum(row.clicks for row in found.by_rank) > 100
    assert found.propensity.state == "not-identified"
    assert "nothing connects rank 2-10 with rank 1" in found.propensity.detail
    assert "exploration" in found.propensity.advice
    assert found.propensity.ranks == []
    assert len(found.propensity.components) == LENGTH
    store.close()


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (5, 5), (3, 17), (700, 1000)])
def test_wilson_is_that_of_scipy(successes: int, trials: int) -> None:
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((interval.low, interval.high), abs=1e-6)
