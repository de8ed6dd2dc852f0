"""From a log to arrays: ranks are columns, holes are empty, and numbers stay the same across batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.clicks.codes import sessions
from ranking.clicks.pages import Event, Page, Pages
from ranking.clicks.sessions import Vocabulary, joined
from tests.ranking.clicks.logs import a_page, logged


def test_ranks_are_columns_and_holes_are_empty() -> None:
    pages = [
        Page("1", "x", ["a", "b"], [1, 3], [Event("b"), Event("z"), Event("a", "dwell")]),
        Page("2", "x", ["b"]),
        Page("3", "y", ["b"], [2], [Event("b")]),
        Page("4", "y", ["a", "c"], [2, 1]),  # damaged
    ]
    vocabulary = Vocabulary()
    (arrays,) = sessions([Pages.of(pages)], vocabulary)
    assert vocabulary.pairs == [("x", "a"), ("x", "b"), ("y", "b")]
    assert arrays.pair.tolist() == [[0, -1, 1], [1, -1, -1], [-1, 2, -1]]
    assert arrays.clicks.tolist() == [[False, False, True], [False] * 3, [False, True, False]]
    assert arrays.query.tolist() == [0, 0, 1]
    assert (arrays.surfaces, arrays.arms) == (("",), ("",))


def test_surfaces_and_arms_keep_their_numbers(tmp_path: Path) -> None:
    pages = [
        a_page(0, device="phone", pipeline_version="v1"),
        a_page(1, device="desk", pipeline_version="v1", arm="swap"),
        a_page(2, pipeline_version="v1"),
    ]
    parts = list(sessions(logged(tmp_path, pages), Vocabulary(), batch=1))
    assert [part.surfaces for part in parts] == [("phone",), ("phone", "desk"), ("phone", "desk", "")]
    whole = joined(parts)
    assert [whole.surfaces[code] for code in whole.surface] == ["phone", "desk", ""]
    assert [whole.arms[code] for code in whole.arm] == ["v1", "swap", "v1"]


def test_documents_far_down_are_left_out() -> None:
    (arrays,) = sessions([Pages.of([Page("1", "x", ["a", "b"], [1, 10**9], [Event("b")])])], Vocabulary())
    assert arrays.pair.tolist() == [[0]]
    assert not arrays.clicks.any()


@given(
    made=st.lists(st.tuples(st.sampled_from("xyz"), st.lists(st.sampled_from("abcd"), min_size=1)), max_size=20),
    batch=st.integers(1, 25),
)
@settings(max_examples=50)
def test_numbers_stand_for_what_the_pages_show(made: list[tuple[str, list[str]]], batch: int) -> None:
    pages = Pages.of(Page(f"{n}", query, shown, events=[Event(shown[-1])]) for n, (query, shown) in enumerate(made))
    vocabulary = Vocabulary()
    parts = list(sessions(pages.slices(batch), vocabulary))
    names, row = vocabulary.pairs, 0
    for part in parts:
        assert np.array_equal(vocabulary.query_of_pair[part.pair[:, 0]], part.query)
        for codes, clicks in zip(part.pair.tolist(), part.clicks.tolist(), strict=True):
            query, shown = made[row]
            assert [names[code] for code in codes if code >= 0] == [(query, document) for document in shown]
            assert clicks.index(True) == shown.index(shown[-1])
            row += 1
    assert row == len(made)
