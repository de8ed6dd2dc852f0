"""Options of the protocol, splits, and what is left to measure on."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.protocol import Protocol, Residual, gives_feedback
from index.errors import InputError
from index.types import Ranking
from ranking.options import build

TOPICS = [f"t{i}" for i in range(50)]


def test_the_defaults_are_the_papers() -> None:
    paper = Protocol()
    assert paper.k == (2, 4, 8)
    assert (paper.first, paper.depth, paper.candidates) == ("bm25", 1000, 8)
    assert (paper.residual, paper.expansion_terms) == ("candidates", 16)
    assert (paper.split, paper.seeds, paper.measured) == ((0.6, 0.2, 0.2), (0, 1, 2), "test")


def test_splits_have_the_shares_and_depend_on_the_seed_alone() -> None:
    splits = Protocol().splits(TOPICS)
    assert list(splits) == [0, 1, 2]
    for parts in splits.values():
        assert Counter(parts.values()) == {"train": 30, "validation": 10, "test": 10}
    assert splits[0] != splits[1]
    assert splits == Protocol().splits(TOPICS[::-1])


@given(st.integers(1, 200), st.sampled_from([(0.6, 0.2, 0.2), (0.0, 0.5, 0.5), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)]))
def test_every_topic_is_in_one_part(count: int, shares: tuple[float, float, float]) -> None:
    parts = Protocol(split=shares, seeds=(3,)).splits([str(i) for i in range(count)])[3]
    assert len(parts) == count
    sizes = Counter(parts.values())
    for name, share in zip(("train", "validation", "test"), shares, strict=True):
        assert abs(sizes[name] - share * count) < 2  # type: ignore[index]
        assert share > 0 or not sizes[name]  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"k": ()}, "k is"),
        ({"k": (2, 2)}, "k is"),
        ({"seeds": ()}, "seeds is"),
        ({"split": (0.5, 0.5)}, "split is"),
        ({"split": (0.5, 0.5, 0.5)}, "split is"),
        ({"rounds": 3}, "no fixed set"),
        ({"residual": "seen"}, "needs a session"),
    ],
)
def test_options_that_do_not_make_sense(options: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Protocol(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"kk": 2}, "no option 'kk'"), ({"k": [-1]}, "'k'"), ({"feedback": "guess"}, "one of judged, clicks")],
)
def test_options_from_a_file_are_checked(options: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        build(Protocol, options, "here")


def test_the_residual_collection_lacks_what_was_removed() -> None:
    residual = Residual.of(Protocol(), ["b", "d"])
    assert residual.ranking(Ranking.of(["a", "b", "c"], [3.0, 2.0, 1.0])).ids == ("a", "c")
    assert residual.judged({"a": 1, "d": 2}) == {"a": 1}


def test_control_measures_on_the_documents_that_give_no_feedback() -> None:
    docs = [f"d{i}" for i in range(400)]
    control = Residual.of(Protocol(residual="control"), ())
    assert all(control.keeps(doc) != gives_feedback(doc) for doc in docs)
    assert 150 < sum(map(gives_feedback, docs)) < 250
