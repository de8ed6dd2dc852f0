"""Traffic splits: what is counted for whom, and when one side has won."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.clicks.pages import Event, Page
from ranking.clicks.splits import SIDES, Side, Split, SplitStanding, split_standings


def page(side: Side | None, *ranks: int) -> Page:
    documents = [f"d{number}" for number in range(1, 6)]
    arm = Split("fused:bm25", side).arm if side else None
    return Page("q", "words", documents, events=[Event(f"d{rank}") for rank in ranks], arm=arm)


@given(st.text(min_size=1, max_size=20), st.sampled_from(SIDES))
def test_arms_name_their_side(experiment: str, side: Side) -> None:
    split = Split(experiment, side)
    assert Split.of_arm(split.arm) == split


@pytest.mark.parametrize("arm", [None, "", "team-draft:a:b", "split:", "split:a", "split::first", "split:a:third"])
def test_other_arms_are_none(arm: str | None) -> None:
    assert Split.of_arm(arm) is None


def test_pages_count_for_their_side() -> None:
    pages = [page("first", 2, 4), page("first"), page(None, 1), page("second", 1), page("second", 9), page("first", 1)]
    (standing,) = split_standings(pages)
    first, second = standing.first, standing.second
    assert (first.pages, first.clicked, first.clicks, first.clicks_per_page, first.mrr) == (3, 2, 3, 1.0, 0.5)
    assert (second.pages, second.clicked, second.clicks, second.clicks_per_page, second.mrr) == (2, 1, 1, 0.5, 0.5)
    assert (standing.test.pages, standing.test.total) == (2, pytest.approx(0.5 - 1.0 + 0.0 - 0.0))
    assert standing.winner() is None


def test_without_pages_nothing_is_known() -> None:
    standing = SplitStanding("a:b")
    assert (standing.first.mrr, standing.first.clicks_per_page, standing.winner()) == (0.0, 0.0, None)


@pytest.mark.parametrize(("better", "winner"), [(0.0, None), (0.35, "second")])
def test_the_better_side_wins_and_no_other(better: float, winner: Side | None) -> None:
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(20):
        standing = SplitStanding("a:b")
        for _ in range(400):
            for side, chance in (("first", 0.3), ("second", 0.3 + better)):
                standing.add(side, page(None, *([int(random.integers(1, 6))] if random.random() < chance else [])))  # type: ignore[arg-type]
        wrong += standing.winner() != winner
    assert wrong <= 2
