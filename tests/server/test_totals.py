"""Running totals: what a fresh read says, from what is new alone, and also when rows are gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from index.errors import UnavailableError
from ranking.clicks.interleaving import Duel
from ranking.clicks.splits import SIDES, Split, SplitStanding, split_standings
from ranking.clicks.standings import standings
from server import totals
from server.events import Event
from server.export import export_pages
from server.store import Page, Store, StoredQuery
from server.store.retention import prune
from server.totals import Totals
from tests.server.store.conftest import Clock, a_round, address, clock, sqlite_address, store

__all__ = ["address", "clock", "sqlite_address", "store"]

DOCUMENTS = ("a", "b", "c")
DUEL = Duel("team-draft", "fused", "bm25").arm


def show(store: Store, number: int, index: str = "docs") -> None:
    """A page of a duel, of either side of a split, or of no experiment, by turns."""
    arms = [DUEL, *(Split("x:y", side).arm for side in SIDES), None]
    arm = arms[number % 4]
    credits = (1.0, -1.0, -1.0) if arm == DUEL else None
    page = Page(0, DOCUMENTS, f"s{number % 7}", arm=arm, credits=credits)
    store.add_round(StoredQuery(f"q{number}", index, "text"), a_round(*DOCUMENTS), page, new=True)


def click(store: Store, number: int, document: str) -> None:
    store.add_event(Event(f"q{number}", document, "click"))


def told_of(split: SplitStanding) -> tuple[Any, ...]:
    return split.experiment, split.first, split.second, split.test.pages, split.test.total, split.test.p_value


def told(kept: Totals) -> list[tuple[str, Any]]:
    duels = [(index, standing.table()) for index, standing in kept.duels()]
    splits = [(index, told_of(split)) for index, split in kept.splits()]
    return [*duels, *splits]


def fresh(store: Store, *indexes: str) -> list[tuple[str, Any]]:
    logs = [(index, list(export_pages(store, index=index))) for index in indexes]
    duels = [(index, standing.table()) for index, pages in logs for standing in standings(pages)]
    splits = [(index, told_of(split)) for index, pages in logs for split in split_standings(pages)]
    return [*duels, *splits]


def test_the_answers_of_a_fresh_read(store: Store) -> None:
    kept = Totals(store)
    assert told(kept) == []
    for number in range(40):
        show(store, number)
        if number % 3:
            click(store, number, DOCUMENTS[number % 2])
        if number % 5 == 0:
            assert told(kept) == fresh(store, "docs")
    for number in (0, 1, 2, 17, 33, 39):  # pages that were counted before
        click(store, number, "b")
        store.add_event(Event(f"q{number}", "c", "relevant"))
        assert told(kept) == fresh(store, "docs") == told(Totals(store))
    assert [index for index, _ in told(kept)] == ["docs", "docs"]


def test_indexes_are_apart(store: Store) -> None:
    kept = Totals(store)
    for number in range(16):
        show(store, number, "docs" if number < 8 else "other")
        click(store, number, "a")
    assert sorted(told(kept), key=str) == sorted(fresh(store, "docs", "other"), key=str)
    assert {index for index, _ in told(kept)} == {"docs", "other"}


def test_after_the_erasure_of_a_person(store: Store) -> None:
    kept, elsewhere = Totals(store), Totals(store)
    for number in range(30):
        show(store, number)
        click(store, number, DOCUMENTS[number % 3])
    before = told(kept)
    told(elsewhere)
    store.erase("s3")
    assert told(kept) == told(elsewhere) == fresh(store, "docs") != before


def test_after_pruning(store: Store, clock: Clock) -> None:
    kept = Totals(store)
    for number in range(30):
        clock.days = 3 * number - 87
        show(store, number)
        click(store, number, DOCUMENTS[number % 3])
    clock.days = 0
    before = told(kept)
    prune(store.database, 40)
    assert told(kept) == fresh(store, "docs") != before


def test_only_what_is_new_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    pages_where = totals.pages_where

    def counting(*args: Any) -> Iterator[Any]:
        for row, page in pages_where(*args):
            read.append(row["impression_id"])
            yield row, page

    monkeypatch.setattr(totals, "pages_where", counting)
    kept = Totals(store)
    for number in range(24):
        show(store, number)
    kept.duels()
    assert len(read) == 18  # a quarter is in no experiment
    read.clear()
    kept.duels()
    kept.splits()
    assert read == []
    show(store, 24)
    click(store, 4, "a")
    click(store, 4, "b")
    kept.duels()
    assert len(read) == 2
    read.clear()
    store.add_event(Event("q4", "c", "relevant"))  # no click: nothing to count
    kept.duels()
    assert read == []


def test_what_would_take_too_much_memory_is_not_kept(store: Store) -> None:
    kept = Totals(store, most=5)
    for number in range(12):
        show(store, number)
        click(store, number, "b")
        assert told(kept) == fresh(store, "docs")


def test_a_look_that_fails_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Totals(store)
    for number in range(12):
        show(store, number)
    pages_where = totals.pages_where

    def failing(*args: Any) -> Iterator[Any]:
        for number, found in enumerate(pages_where(*args)):
            if number == 4:
                raise UnavailableError("The store is away.", "Wait.")
            yield found

    with monkeypatch.context() as patched:
        patched.setattr(totals, "pages_where", failing)
        with pytest.raises(UnavailableError):
            kept.duels()
    click(store, 0, "a")
    assert told(kept) == fresh(store, "docs")
