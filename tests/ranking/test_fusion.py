"""Fusion: golden cases worked out by hand, and the properties that any fusion has to have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import InputError
from index.types import Ranking
from ranking.contract import Fuser
from ranking.fusion import CombMnz, CombSum, ReciprocalRank, normalised

FIRST = Ranking.of(["a", "b", "c"], [10.0, 6.0, 2.0])
SECOND = Ranking.of(["c", "d"], [0.9, 0.5])
FUSERS: list[Fuser] = [
    ReciprocalRank(),
    *(kind(how) for kind in (CombSum, CombMnz) for how in ("none", "min-max", "z-score")),  # type: ignore[arg-type]
]

# Scores on a grid: apart or equal, never apart by rounding alone.
scores = st.integers(-1000, 1000).map(lambda number: number / 8)
rankings = st.dictionaries(st.sampled_from("abcdefghij"), scores, max_size=8).map(
    lambda found: Ranking.of(list(found), list(found.values()))
)


def fused(fuser: Fuser, *rankings: Ranking) -> dict[str, float]:
    return fuser.fuse(rankings).scores_by_id()


def test_reciprocal_rank_by_hand() -> None:
    assert fused(ReciprocalRank(), FIRST, SECOND) == pytest.approx(
        {"a": 1 / 61, "b": 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 62}
    )
    assert ReciprocalRank().fuse([FIRST, SECOND]).ids == ("c", "a", "b", "d")  # b and d tie: by id


def test_reciprocal_rank_with_weights_and_another_c() -> None:
    assert fused(ReciprocalRank(c=1.0, weights=(2.0, 0.5)), FIRST, SECOND) == pytest.approx(
        {"a": 2 / 2, "b": 2 / 3, "c": 2 / 4 + 0.5 / 2, "d": 0.5 / 3}
    )


def test_comb_sum_of_min_max_by_hand() -> None:
    # FIRST becomes 1, .5, 0 and SECOND 1, 0; what is missing counts as the lowest, 0.
    assert fused(CombSum("min-max"), FIRST, SECOND) == pytest.approx({"a": 1.0, "b": 0.5, "c": 0.0 + 1.0, "d": 0.0})


def test_comb_sum_of_z_scores_by_hand() -> None:
    # The standard deviations are sqrt(32/3) and 0.2, and scores count from the lowest.
    step = 4 / np.sqrt(32 / 3)
    assert fused(CombSum("z-score"), FIRST, SECOND) == pytest.approx({"a": 2 * step, "b": step, "c": 2.0, "d": 0.0})


def test_comb_sum_without_normalisation_adds_scores_as_they_are() -> None:
    expected = {"a": 10.0, "b": 6.0, "c": 2.0 + 3 * 0.9, "d": 3 * 0.5}
    assert fused(CombSum("none", weights=(1.0, 3.0)), FIRST, SECOND) == pytest.approx(expected)


def test_comb_mnz_multiplies_by_the_number_of_rankings() -> None:
    assert fused(CombMnz("min-max"), FIRST, SECOND) == pytest.approx({"a": 1.0, "b": 0.5, "c": 2 * 1.0, "d": 0.0})


def test_a_ranking_without_weight_does_not_count_as_one_that_holds_the_document() -> None:
    assert fused(CombMnz("min-max", weights=(1.0, 0.0)), FIRST, SECOND) == pytest.approx(
        {"a": 1.0, "b": 0.5, "c": 0.0, "d": 0.0}
    )


@pytest.mark.parametrize("how", ["min-max", "z-score"])
def test_equal_scores_become_one(how: str) -> None:
    assert normalised(np.array([3.0, 3.0]), how).tolist() == [1.0, 1.0]  # type: ignore[arg-type]
    assert normalised(np.array([0.1 + 0.2, 0.3]), how).tolist() == [1.0, 1.0]  # type: ignore[arg-type]
    assert normalised(np.zeros(0), how).tolist() == []  # type: ignore[arg-type]


def test_z_scores_have_deviation_one_and_start_at_zero() -> None:
    values = normalised(np.array([5.0, 1.0, 4.0, 2.5]), "z-score")
    assert np.std(values) == pytest.approx(1.0)
    assert values.min() == 0.0


@pytest.mark.parametrize("how", ["min-max", "z-score"])
def test_scores_whose_squares_vanish_are_told_apart(how: str) -> None:
    values = normalised(np.array([0.0, 0.0, np.finfo(np.float64).tiny]), how)  # type: ignore[arg-type]
    assert values.tolist() == [0.0, 0.0, 1.0]


def test_the_number_of_weights_has_to_fit() -> None:
    with pytest.raises(InputError, match=r"2 rankings has 3 weights"):
        CombSum(weights=(1.0, 1.0, 1.0)).fuse([FIRST, SECOND])


def test_documents_with_the_same_ranks_in_another_order_tie_exactly() -> None:
    """1/61 + 1/62 + 1/63 depends on the order of addition in the last bit; the answer must not."""
    orders = ["abc", "bca", "cab"]
    assert set(fused(ReciprocalRank(), *(Ranking.of(list(ids), [3, 2, 1]) for ids in orders)).values()) == {
        1 / 63 + 1 / 62 + 1 / 61
    }


@pytest.mark.parametrize("fuser", FUSERS, ids=repr)
class TestEveryFuser:
    @given(inputs=st.lists(rankings, min_size=1, max_size=4), shuffle=st.randoms(use_true_random=False))
    def test_the_order_of_the_inputs_does_not_matter(
        self, fuser: Fuser, inputs: list[Ranking], shuffle: np.random.Generator
    ) -> None:
        shuffled = list(inputs)
        shuffle.shuffle(shuffled)  # type: ignore[arg-type]
        assert fuser.fuse(inputs) == fuser.fuse(shuffled)

    @given(ranking=rankings)
    def test_a_single_ranking_keeps_its_order(self, fuser: Fuser, ranking: Ranking) -> None:
        assert fuser.fuse([ranking]).ids == ranking.ids

    @given(inputs=st.lists(rankings, max_size=4))
    def test_the_answer_holds_the_union_and_nothing_else(self, fuser: Fuser, inputs: list[Ranking]) -> None:
        answer = fuser.fuse(inputs)
        assert set(answer.ids) == {doc for ranking in inputs for doc in ranking.ids}
        assert (np.diff(answer.scores) <= 0).all()

    @given(inputs=st.lists(rankings, min_size=1, max_size=3))
    def test_an_empty_ranking_adds_nothing(self, fuser: Fuser, inputs: list[Ranking]) -> None:
        assert fuser.fuse([*inputs, Ranking.empty()]) == fuser.fuse(inputs)


@pytest.mark.parametrize("fuser", [fuser for fuser in FUSERS if "none" not in repr(fuser)], ids=repr)
@given(
    inputs=st.lists(rankings, min_size=1, max_size=3),
    units=st.lists(st.tuples(st.sampled_from([0.25, 2.0, 64.0]), st.integers(-16, 16)), min_size=3, max_size=3),
)
def test_a_normalised_fusion_does_not_see_the_unit_or_the_zero_of_a_score(
    fuser: Fuser, inputs: Sequence[Ranking], units: list[tuple[float, int]]
) -> None:
    moved = [
        Ranking(ranking.ids, ranking.scores * scale + shift)
        for ranking, (scale, shift) in zip(inputs, units, strict=False)
    ]
    before, after = fuser.fuse(inputs).scores_by_id(), fuser.fuse(moved).scores_by_id()
    assert after == pytest.approx(before, abs=1e-9)
