"""Rankings: the sort against the obvious one, the checks, and what is cut out of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.types import Document, Ranking

scores = st.sampled_from([0.0, -0.0, 1.0, 1.5, math.inf, -math.inf]) | st.floats(allow_nan=False)
found = st.dictionaries(st.text(max_size=3), scores, max_size=30)


@settings(deadline=None)
@given(found=found, limit=st.none() | st.integers(0, 40))
def test_sorted_by_score_then_id(found: dict[str, float], limit: int | None) -> None:
    ids, values = list(found), list(found.values())
    ranking = Ranking.of(ids, values, limit)
    expected = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:limit]
    assert list(ranking) == expected
    assert ranking == Ranking.of(ids[::-1], values[::-1]).head(len(ranking))


def test_what_is_no_ranking() -> None:
    with pytest.raises(ValueError, match="2 ids but 1 scores"):
        Ranking.of(["a", "b"], [1.0])
    with pytest.raises(ValueError, match="NaN"):
        Ranking.of(["a", "b"], [1.0, math.nan])
    with pytest.raises(ValueError, match="twice"):
        Ranking.of(["a", "a"], [1.0, 2.0])


def test_scores_are_read_only_and_not_shared() -> None:
    given_scores = np.array([1.0, 2.0])
    ranking = Ranking.of(["a", "b"], given_scores)
    given_scores[0] = 9
    assert ranking.scores.tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        ranking.scores[0] = 1


def test_head_without_and_scores_by_id() -> None:
    ranking = Ranking.of(["a", "b", "c"], [3, 2, 1])
    assert ranking.head(2) == Ranking.of(["a", "b"], [3, 2])
    assert ranking.head(9) is ranking
    assert ranking.without(["b", "z"]) == Ranking.of(["a", "c"], [3, 1])
    assert ranking.without(["z"]) is ranking
    assert ranking.scores_by_id() == {"a": 3.0, "b": 2.0, "c": 1.0}
    assert len(Ranking.empty()) == 0
    assert ranking != Ranking.of(["a", "b", "c"], [3, 2, 1.5])
    assert repr(Ranking.of("abcd", [4, 3, 2, 1])) == "Ranking(4: a:4, b:3, c:2, …)"


def test_contents_are_title_and_text() -> None:
    assert Document("a", "Title", "Text").contents == "Title\nText"
    assert Document("a", "", "Text").contents == "Text"
