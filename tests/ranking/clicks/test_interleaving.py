"""Interleaving: nobody has an advantage that the documents do not give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import InputError
from ranking.clicks.interleaving import (
    METHODS,
    Duel,
    Interleaved,
    balanced,
    outcome,
    probabilistic,
    team_draft,
)

LISTS = [page for size in (1, 2, 3) for page in itertools.permutations("abcd", size)]
PAIRS = list(itertools.product(LISTS, LISTS))


class Scripted(np.random.Generator):
    """Goes through all that chance can do: one path of decisions, and its probability."""

    def __init__(self, script: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self.script, self.at, self.chance, self.widths = script, 0, 1.0, [0] * len(script)

    def _decide(self, chances: list[float]) -> int:
        if self.at == len(self.script):
            self.script.append(0)
            self.widths.append(0)
        decided = self.script[self.at]
        self.widths[self.at] = len(chances)
        self.at += 1
        self.chance *= chances[decided]
        return decided

    def random(self, *_: object) -> float:  # type: ignore[override]
        return 0.25 + 0.5 * self._decide([0.5, 0.5])

    def choice(self, a: int, p: list[float]) -> int:  # type: ignore[override]
        possible = [place for place in range(a) if p[place] > 0]
        return possible[self._decide([float(p[place]) for place in possible])]


def every_page(first: tuple[str, ...], second: tuple[str, ...], length: int, method: str) -> Iterator[tuple[float, Interleaved]]:  # fmt: skip  # noqa: E501
    """Every page that can come of it, with its probability."""
    if method == "team-draft":
        coins = list(itertools.product([True, False], repeat=(length + 1) // 2))
        for drawn in coins:
            yield 1 / len(coins), team_draft(first, second, length, drawn)
    elif method == "balanced":
        for begins in (True, False):
            yield 0.5, balanced(first, second, length, first_begins=begins)
    else:
        script: list[int] = []
        while True:
            random = Scripted(script)
            page = probabilistic(first, second, length, random)
            yield random.chance, page
            script = random.script[: random.at]
            widths = random.widths
            while script and script[-1] + 1 == widths[len(script) - 1]:
                script.pop()
            if not script:
                return
            script[-1] += 1


def expected(first: tuple[str, ...], second: tuple[str, ...], clicks: tuple[bool, ...], method: str) -> tuple[float, float]:  # fmt: skip  # noqa: E501
    """The mean outcome for somebody who clicks at these places whatever is there, and the mean of its sign."""
    mean = signs = total = 0.0
    for chance, page in every_page(first, second, len(clicks), method):
        value = outcome(method, page.scores, clicks[: len(page.documents)])  # type: ignore[arg-type]
        mean += chance * value
        signs += chance * ((value > 0) - (value < 0))
        total += chance
    assert total == pytest.approx(1)
    return mean, signs


@pytest.mark.parametrize("method", METHODS)
def test_identical_rankers_tie_whatever_is_clicked(method: str) -> None:
    """By the documents too: a click on any one of them, or any two."""
    for ranking in LISTS:
        for length in (1, 2, 3):
            for wanted in itertools.chain.from_iterable(itertools.combinations("abcd", n) for n in (1, 2)):
                mean = 0.0
                for chance, page in every_page(ranking, ranking, length, method):
                    clicked = [document in wanted for document in page.documents]
                    mean += chance * outcome(method, page.scores, clicked)  # type: ignore[arg-type]
                assert mean == pytest.approx(0, abs=1e-12)


def test_identical_rankers_tie_on_every_single_page_without_teams() -> None:
    for method in ("balanced", "probabilistic"):
        for _, page in every_page(("a", "b", "c"), ("a", "b", "c"), 3, method):
            for clicked in itertools.product([True, False], repeat=3):
                assert outcome(method, page.scores, clicked) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_team_draft_gives_no_place_an_advantage(length: int) -> None:
    """All pairs of rankings of up to 3 of 4 documents, all coins, all sets of places that are clicked."""
    for first, second in PAIRS:
        for clicks in itertools.product([True, False], repeat=length):
            assert expected(first, second, clicks, "team-draft") == pytest.approx((0, 0), abs=1e-12)


def test_probabilistic_gives_no_place_an_advantage() -> None:
    same_documents = [(first, second) for first, second in PAIRS if len(first) + len(second) <= 5]
    for first, second in same_documents[::3]:
        for clicks in itertools.product([True, False], repeat=2):
            assert expected(first, second, clicks, "probabilistic")[0] == pytest.approx(0, abs=1e-12)
    for clicks in itertools.product([True, False], repeat=3):
        for first, second in [("abc", "cab"), ("abc", "bcd"), ("ab", "bcd")]:
            assert expected(tuple(first), tuple(second), clicks, "probabilistic")[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_changing_sides_changes_the_sign(method: str) -> None:
    for first, second in PAIRS[::7]:
        for clicks in itertools.product([True, False], repeat=2):
            forth = expected(first, second, clicks, method)
            back = expected(second, first, clicks, method)
            assert forth == pytest.approx((-back[0], -back[1]), abs=1e-12)


def test_balanced_has_the_bias_that_is_known_of_it() -> None:
    """Chapelle et al. 2012: one click at a random place favours one of two shifted rankings."""
    clicks = [tuple(place == clicked for place in range(4)) for clicked in range(4)]
    mean = sum(expected(tuple("abcd"), tuple("bcda"), places, "balanced")[0] for places in clicks)
    assert mean < -0.5


@pytest.mark.parametrize("method", METHODS)
def test_who_ranks_the_wanted_document_higher_wins(method: str) -> None:
    mean = 0.0
    for chance, page in every_page(("a", "b", "c", "d"), ("d", "c", "b", "a"), 3, method):
        mean += chance * outcome(method, page.scores, [document == "a" for document in page.documents])  # type: ignore[arg-type]
    assert mean > 0.2


rankings = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(METHODS), rankings, rankings, st.integers(0, 12), st.integers(0, 2**32))
def test_a_page_holds_documents_of_both_once(
    method: str, first: list[str], second: list[str], length: int, seed: int
) -> None:
    duel = Duel(method, "x", "y")  # type: ignore[arg-type]
    page = duel.interleave(first, second, length, np.random.default_rng(seed))
    union = set(first) | set(second)
    assert len(page.documents) == len(set(page.documents)) == len(page.scores) == min(length, len(union))
    assert set(page.documents) <= union
    if method != "probabilistic" and page.documents:
        assert page.documents[0] in {(first or second)[0], (second or first)[0]}
    assert page == duel.interleave(first, second, length, np.random.default_rng(seed))
    assert -1 <= outcome(duel.method, page.scores, [True] * len(page.scores)) <= 1


def test_team_draft_alternates_as_captains_do() -> None:
    page = team_draft("abcd", "bcde", 4, [True, False])
    assert page == Interleaved(("a", "b", "c", "d"), (1.0, -1.0, -1.0, 1.0))


def test_below_the_shorter_ranking_clicks_count_for_nobody() -> None:
    page = team_draft("ab", "cdef", 5, [True, True, True])
    assert page == Interleaved(("a", "c", "b", "d", "e"), (1.0, -1.0, 0.0, 0.0, 0.0))


def test_balanced_counts_clicks_in_the_tops_of_both() -> None:
    page = balanced("abcd", "bcda", 4, first_begins=True)
    assert page.documents == ("a", "b", "c", "d")
    click = {name: [document == name for document in page.documents] for name in "abcd"}
    assert outcome("balanced", page.scores, click["a"]) == 1  # first of one, last of the other
    assert outcome("balanced", page.scores, click["b"]) == -1
    assert outcome("balanced", page.scores, [True] * 4) == 0  # a, b, c against b, c, d
    assert outcome("balanced", page.scores, [True, True, False, False]) == 0  # a against b
    assert outcome("balanced", page.scores, [False, True, True, False]) == -1  # b against b, c


def test_probabilistic_scores_are_expected_teams() -> None:
    for _, page in every_page(("a", "b"), ("b", "a"), 2, "probabilistic"):
        strong, weak = 1.0, 2.0**-3
        score = (strong - weak) / (strong + weak)
        assert page.scores == pytest.approx((score if page.documents[0] == "a" else -score, 0.0))


def test_no_click_is_a_tie() -> None:
    assert all(outcome(method, (1.0, 1.0), (False, False)) == 0 for method in METHODS)  # type: ignore[arg-type]


def test_duels_have_names() -> None:
    duel = Duel("team-draft", "fused", "bm25-qe")
    assert duel.arm == "team-draft:fused:bm25-qe"
    assert Duel.of_arm(duel.arm) == duel
    for other in (None, "", "shuffle:5", "team-draft:a", "team-draft:a:b:c", "team-draft::b", "pair:1:2", "v1"):
        assert Duel.of_arm(other) is None
    for bad in (("draft", "a", "b"), ("balanced", "", "b"), ("balanced", "a:b", "c")):
        with pytest.raises(InputError):
            Duel(*bad)  # type: ignore[arg-type]


def test_every_path_is_enumerated_once() -> None:
    """The enumeration above is itself right: probabilities of pages agree with a formula."""
    chances: dict[tuple[str, ...], float] = {}
    for chance, page in every_page(("a", "b"), ("b", "c"), 1, "probabilistic"):
        chances[page.documents] = chances.get(page.documents, 0.0) + chance
    high = 1 / (1 + 2.0**-3)
    assert chances == pytest.approx({("a",): high / 2, ("b",): 0.5, ("c",): (1 - high) / 2})
    assert math.fsum(chances.values()) == pytest.approx(1)
