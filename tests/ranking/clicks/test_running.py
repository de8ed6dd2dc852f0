"""Running standings say what a read of all pages says, in whatever order clicks come in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking.clicks.interleaving import Duel
from ranking.clicks.pages import Event, Page
from ranking.clicks.running import EVERY, RunningDuel, RunningSplit
from ranking.clicks.splits import SIDES, Side, Split, SplitStanding, split_standings
from ranking.clicks.standings import standings

DOCUMENTS = ("a", "b", "c", "d")
DUEL = Duel("team-draft", "fused", "bm25")
PAGES = 3 * EVERY + 100


def click(document: str) -> Event:
    return Event(document, "click")


def duel_page(random: np.random.Generator) -> Page:
    scores = random.permutation([1.0, 1.0, -1.0, -1.0]).tolist()
    return Page("p", "text", DOCUMENTS, events=(), scores=scores, arm=DUEL.arm)


def plain(standing: SplitStanding) -> tuple[object, ...]:
    test = standing.test
    return standing.first, standing.second, test.pages, test.wins, test.losses, test.total, test.largest


def test_a_duel_as_clicks_come_late() -> None:
    random = np.random.default_rng(1)
    pages = [duel_page(random) for _ in range(PAGES)]
    running = RunningDuel(DUEL)
    for number, page in enumerate(pages):
        running.put(10 * number, page)
    (fresh,) = standings(pages)
    assert running.standing().table() == fresh.table()
    for _ in range(40):
        for number in random.integers(0, PAGES, 30):
            clicked = DOCUMENTS[random.integers(0, 4)]
            pages[number] = replace(pages[number], events=(*pages[number].events, click(clicked)))
            running.put(10 * int(number), pages[number])
        (fresh,) = standings(pages)
        assert running.standing().table() == fresh.table()
        assert running.standing().test.largest == fresh.test.largest
    assert fresh.test.pages > EVERY // 2
    assert len(running) == PAGES


@pytest.mark.parametrize("share", [0.5, 0.05, 0.0])
def test_a_split_as_clicks_come_late(share: float) -> None:
    random = np.random.default_rng(2)
    sides: list[Side] = [SIDES[int(random.random() < share)] for _ in range(PAGES)]
    pages = [Page("p", "text", DOCUMENTS, arm=Split("x:y", side).arm) for side in sides]
    running = RunningSplit("x:y")
    for number, (side, page) in enumerate(zip(sides, pages, strict=True)):
        running.put(side, number, page)
        if number % 500 == 0:
            (fresh,) = split_standings(pages[: number + 1])
            assert plain(running.standing()) == plain(fresh)
    for _ in range(20):
        for number in random.integers(0, PAGES, 50):
            clicked = DOCUMENTS[random.integers(0, 4)]
            pages[number] = replace(pages[number], events=(*pages[number].events, click(clicked)))
            running.put(sides[number], int(number), pages[number])
        (fresh,) = split_standings(pages)
        assert plain(running.standing()) == plain(fresh)
