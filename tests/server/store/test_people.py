"""Pseudonyms, and the right to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select
from sqlalchemy.event import listen

from index.errors import NotFoundError
from server.events import Event
from server.store import Page, Store, StoredQuery, removals
from server.store.people import DAY_MS, pseudonym
from server.store.records import Erased
from server.store.retention import prune
from server.store.tables import events, impressions, salts
from tests.server.store.conftest import Clock, a_round, asked, count


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    store = Store.open(address, pseudonym_days=30)
    yield store
    store.close()


def search(store: Store, query_id: str, *, session: str | None = None, user: str | None = None) -> None:
    page = Page(0, ("a",), session, user)
    store.add_round(StoredQuery(query_id, "docs", "a private question"), a_round("a", "b"), page, new=True)


def people(store: Store, table: Table = impressions) -> list[tuple[str | None, str | None, str | None]]:
    columns = (table.c.session_id, table.c.client_id, table.c.user_id)
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(*table.primary_key.columns))]


def test_ids_become_pseudonyms_that_stay_the_same_for_their_days(store: Store) -> None:
    search(store, "q1", session="s", user="u")
    store.add_page("q1", 1, Page(1, ("b",), "s", None, client_id="u"))
    search(store, "q2")
    (first, none, user), (again, client, no_user), nobody = people(store)
    assert first == again
    assert user == client != first
    assert (none, no_user) == (None, None)
    assert nobody == (None, None, None)
    assert first is not None
    assert "s" not in first
    assert len(first) == 32


def test_replicas_share_the_salt(store: Store, address: str) -> None:
    other = Store.open(address, pseudonym_days=30)
    search(store, "q1", session="s")
    search(other, "q2", session="s")
    other.close()
    first, second = people(store)
    assert first == second


def test_a_new_salt_after_its_days(store: Store, clock: Clock) -> None:
    for days in (0, 29, 31, 20):  # the last one: the clock was turned back
        clock.days = days
        search(store, f"q{days}", session="s")
    names = [name for name, _, _ in people(store)]
    assert names[0] == names[1]
    assert names[2] == names[3] != names[0]
    assert count(store, "salts") == 2


def test_whom_a_period_shortened_at_midday_left_under_the_old_salt_is_found(
    store: Store, address: str, clock: Clock
) -> None:
    """The new salt counts from the midnight before its first use; replicas not yet restarted follow at the next one."""
    clock.at(-20, hour=12)
    search(store, "q1", session="s")
    clock.at(-10, hour=9)
    search(store, "q2", session="s")
    clock.at(-10, hour=12)
    with closing(Store.open(address, pseudonym_days=5)) as shorter:
        search(shorter, "q3", session="s")
        clock.at(-10, hour=23)
        search(store, "q4", session="s")
        clock.at(-9, hour=1)
        search(store, "q5", session="s")
        search(shorter, "q6", session="s")
    names = [name for name, _, _ in people(store)]
    assert names[0] == names[1] == names[3]
    assert names[2] == names[4] == names[5] != names[0]
    clock.at(0, hour=6)
    prune(store.database, 10)
    assert store.erase("s") == Erased(5, 5, 5, 0)
    clock.at(2, hour=0)
    prune(store.database, 10)
    assert count(store, "salts") == 1


def test_without_pseudonyms_ids_are_kept(address: str) -> None:
    store = Store.open(address)
    asked(store)
    assert people(store) == [("s", None, "u")]
    assert count(store, "salts") == 0
    store.close()


@pytest.mark.parametrize("person", ["s1", "u1", "raw"])
def test_erasing_a_person(store: Store, address: str, clock: Clock, person: str) -> None:
    search(store, "q1", session="s1", user="u1")
    store.add_round(StoredQuery("q1", "", ""), a_round("b"), Page(0, ("b",), "s9"), new=False)
    store.add_event(Event("q1", "a", "click"))
    clock.days = 40  # under another salt
    search(store, "q2", session="s1", user="u1")
    search(store, "q3", session="s2", user="u2")
    plain = Store.open(address)  # what was recorded before there were pseudonyms
    search(plain, "q4", session="raw")
    plain.close()
    expected = Erased(1, 1, 1, 0) if person == "raw" else Erased(2, 3, 3, 1)
    assert store.erase(person) == expected
    assert store.erase(person) == Erased()
    assert count(store, "queries") == 4 - expected.queries
    assert store.query("q3").text == "a private question"
    gone = "q4" if person == "raw" else "q1"
    assert store.marks(gone) == {}
    for late in (
        lambda: store.add_event(Event(gone, "a", "click")),
        lambda: store.add_page(gone, 1, Page(0, ("a",))),
        lambda: store.add_round(StoredQuery(gone, "", ""), a_round("b"), Page(0, ()), new=False),
    ):
        with pytest.raises(NotFoundError, match=gone):
            late()


def click(query_id: str, key: str | None = None, **person: str) -> Event:
    return Event(query_id, "a", "click", idempotency_key=key, **person)  # type: ignore[arg-type]


@pytest.mark.parametrize("person", ["s1", "c1", "u1"])
def test_erasing_a_person_whom_only_an_event_names(store: Store, clock: Clock, person: str) -> None:
    for query_id in ("q1", "q2", "q3"):
        search(store, query_id, session="shared")
    store.add_events([click("q1", session_id="s1", client_id="c1", user_id="u1"), click("q3", session_id="s2")])
    clock.days = 40  # under another salt
    store.add_event(click("q2", session_id="s1", client_id="c1", user_id="u1"))
    store.add_event(click("q2"))
    assert store.erase(person) == Erased(2, 2, 2, 3)
    assert store.erase(person) == Erased()
    assert store.query("q3").text == "a private question"
    assert count(store, "events") == 1


def test_events_hold_pseudonyms(store: Store) -> None:
    search(store, "q1", session="s", user="u")
    [(session, _, user)] = people(store)
    store.add_events([click("q1", session_id="s", client_id="u", user_id="u"), click("q1")])
    store.add_event(click("q1", user_id="u"))
    graded = [Event("q1", "a", "graded", relevance=1.0, session_id="s")]
    store.add_round(StoredQuery("q1", "", ""), a_round("a"), Page(0, ("a",)), graded, new=False)
    nobody = (None, None, None)
    assert people(store, events) == [(session, user, user), nobody, (None, None, user), (session, None, None)]


def test_an_event_sent_again_under_another_salt_is_the_same(store: Store, clock: Clock) -> None:
    search(store, "q1")
    first = store.add_event(click("q1", "k", session_id="s"))
    clock.days = 40
    search(store, "q2", session="s")
    assert store.add_events([click("q1", "k", session_id="s")]) == [(first[0], True)]
    assert store.erase("s") == Erased(2, 2, 2, 1)


def test_who_is_interrupted_finds_the_rest_of_what_only_events_tell(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "PIECE", 50)
    search(store, "q1")
    store.add_events([click("q1", session_id="s") for _ in range(130)])

    def killed(*_: object) -> Erased:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("server.store.people._remove", killed)
        with pytest.raises(KeyboardInterrupt):
            store.erase("s")
    assert count(store, "events") == 1  # the others went piece by piece
    assert store.erase("s") == Erased(1, 0, 1, 1)
    assert count(store, "queries") == 0


def test_erasing_an_unknown_person_removes_nothing(store: Store) -> None:
    search(store, "q1", session="s")
    assert store.erase("nobody") == Erased()
    assert count(store, "queries") == 1


def test_erasing_more_than_one_batch(store: Store) -> None:
    for number in range(130):
        search(store, f"q{number}", session="s")
    assert store.erase("s") == Erased(130, 130, 130, 0)


def test_what_there_is_much_of_goes_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction removes more than a piece, and others write in between."""
    monkeypatch.setattr(removals, "PIECE", 50)
    search(store, "q1", session="s")
    search(store, "q2", session="other")
    store.add_events([Event("q1", f"d{number}", "click") for number in range(330)])
    rows = list[int]()

    def count_rows(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        if statement.startswith("DELETE FROM events"):
            rows.append(cursor.rowcount)

    listen(store.database.engine, "after_cursor_execute", count_rows)
    with ThreadPoolExecutor(1) as pool:
        erasing = pool.submit(store.erase, "s")
        written = 0
        while not erasing.done() or not written:
            store.add_event(Event("q2", f"d{written}", "click"))
            written += 1
        assert erasing.result() == Erased(1, 1, 1, 330)
    assert (max(rows), sum(rows)) == (50, 330)
    assert count(store, "events") == written


def test_nothing_of_an_erased_person_is_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(f"sqlite:///{path}")
    for number in range(50):
        query = StoredQuery(f"old{number}", "docs", "where is the unmistakable needle")
        store.add_round(query, a_round("a"), Page(0, ("a",), "unmistakable-person"), new=True)
    asked(store)
    store.erase("unmistakable-person")
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"unmistakable" not in files
    assert store.query("q1").text == "how to open a file"
    store.close()


def test_pseudonyms_are_keyed_hashes() -> None:
    # RFC 4231, test case 2: HMAC-SHA-256 with the key "Jefe", cut to 128 bits.
    assert pseudonym("what do ya want for nothing?", b"Jefe") == "5bdcc146bf60754e6a042426089575c7"


def test_a_salt_starts_with_its_day(store: Store) -> None:
    search(store, "q1", session="s")
    with store.reading() as connection:
        started, salt = connection.execute(select(salts)).one()
    assert started % DAY_MS == 0
    assert len(salt) == 32
