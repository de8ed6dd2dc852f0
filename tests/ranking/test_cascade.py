"""The cascade: only the head of the first ranking is ordered anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import InputError
from index.types import Ranking
from ranking.cascade import Cascade

FIRST = Ranking.of(list("abcdef"), [6, 5, 4, 3, 2, 1])


def test_the_second_ranking_orders_the_head_and_leaves_the_rest() -> None:
    second = Ranking.of(list("fedcba"), [6, 5, 4, 3, 2, 1])
    assert Cascade(depth=3, weights=(0.0, 1.0)).fuse([FIRST, second]).ids == ("c", "b", "a", "d", "e", "f")


def test_what_a_ranker_thinks_of_other_documents_does_not_matter() -> None:
    near = Ranking.of(["b", "a", "z"], [2.0, 1.0, -1e9])
    far = Ranking.of(["b", "a"], [2.0, 1.0])
    fuse = Cascade(depth=2, weights=(1.0, 3.0)).fuse
    assert fuse([FIRST, near]) == fuse([FIRST, far])


def test_a_document_that_is_lacking_gets_the_least() -> None:
    second = Ranking.of(["c", "b"], [2.0, 1.0])
    assert Cascade(depth=3, weights=(0.0, 1.0)).fuse([FIRST, second]).ids[:3] == ("c", "a", "b")


def test_nothing_in_nothing_out() -> None:
    assert not len(Cascade().fuse([Ranking.empty(), FIRST]))


def test_as_many_weights_as_rankings() -> None:
    with pytest.raises(InputError, match="2 rankings has 1 weights"):
        Cascade(weights=(1.0,)).fuse([FIRST, FIRST])


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6), st.integers(1, 8), st.floats(0, 3))
def test_exactly_the_first_ranking_s_documents_come_back(scores: list[float], depth: int, weight: float) -> None:
    fused = Cascade(depth=depth, weights=(1.0, weight)).fuse([FIRST, Ranking.of(list("abcdef"), scores)])
    assert sorted(fused.ids) == sorted(FIRST.ids)
    assert set(fused.ids[:depth]) == set(FIRST.ids[:depth])
    assert bool((np.diff(fused.scores) <= 0).all())
