"""Old data goes, young data stays, and others write meanwhile."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from server.cli import run
from server.events import Event
from server.store import Page, Store, StoredQuery
from server.store.people import DAY_MS
from server.store.records import Erased
from server.store.retention import prunable, prune
from server.store.weeks import WEEK_MS, monday, name_of
from tests.server.store.conftest import QUERY, Clock, a_round, asked, count, partitions


def year(store: Store, clock: Clock) -> None:
    """A query every twenty days of the last hundred, each with an event."""
    for days in range(-100, 1, 20):
        clock.days = days
        query = StoredQuery(f"q{-days}", "docs", "text")
        asked(store, query)
        store.add_event(Event(query.id, "a", "click", idempotency_key=query.id))


def test_pruning_removes_what_is_older(store: Store, clock: Clock) -> None:
    year(store, clock)
    assert prunable(store.database, 50) == Erased(3, 3, 3, 3)
    assert prune(store.database, 50) == Erased(3, 3, 3, 3)
    assert prune(store.database, 50) == Erased()
    for table in ("queries", "rankings", "impressions", "events"):
        assert count(store, table) == 3
    assert store.marks("q40").keys() == {"a"}
    assert store.add_event(Event("q0", "b", "click"))[1] is False


def test_an_old_query_that_goes_on_keeps_its_young_rounds(store: Store, clock: Clock) -> None:
    clock.days = -60
    asked(store)
    clock.days = -1
    store.add_round(QUERY, a_round("c"), Page(0, ("c",)), new=False)
    assert prunable(store.database, 50) == Erased(0, 1, 1, 0)
    assert prune(store.database, 50) == Erased(0, 1, 1, 0)
    newest = store.round("q1")
    assert newest is not None
    assert (newest.number, newest.ranking.ids) == (2, ("c",))
    assert store.round("q1", 1) is None
    assert store.add_round(QUERY, a_round("d"), Page(0, ("d",)), new=False).number == 3


def test_a_query_goes_with_its_last_ranking(store: Store, clock: Clock) -> None:
    clock.days = -60
    asked(store)
    clock.days = 0
    store.add_event(Event("q1", "a", "click"))
    assert prune(store.database, 50) == Erased(1, 1, 1, 1)
    assert count(store, "events") == 0


def test_more_than_a_batch(store: Store, clock: Clock) -> None:
    clock.days = -60
    asked(store)
    graded = [Event("q1", f"d{number}", "graded", relevance=1.0) for number in range(2_500)]
    store.add_round(QUERY, a_round("a"), Page(0, ("a",)), graded, new=False)
    clock.days = 0
    assert prune(store.database, 59) == Erased(1, 2, 2, 2_500)


def test_salts_go_with_the_pages_that_they_named(address: str, clock: Clock) -> None:
    store = Store.open(address, pseudonym_days=10)
    for days in (-40, -25, -5):
        clock.days = days
        store.add_round(StoredQuery(f"q{days}", "", ""), a_round("a"), Page(0, ("a",), "s"), new=True)
    clock.days = 0
    prune(store.database, 26)
    assert count(store, "salts") == 3  # a page of the day before the cut may have been named by the oldest
    prune(store.database, 20)
    assert count(store, "salts") == 2
    assert store.erase("s") == Erased(1, 1, 1, 0)
    store.close()


def test_salts_stay_with_the_events_that_they_named(address: str, clock: Clock) -> None:
    store = Store.open(address, pseudonym_days=10)
    clock.days = -40
    asked(store, StoredQuery("q1", "", ""))
    for days in (-25, -5):
        clock.days = days
        store.add_round(StoredQuery("q1", "", ""), a_round("a"), Page(0, ("a",)), new=False)
        store.add_event(Event("q1", "a", "click", user_id=f"u{days}"))
    clock.days = 0
    prune(store.database, 26)
    assert count(store, "events") == 2
    prune(store.database, 20)
    assert (count(store, "events"), count(store, "salts")) == (1, 2)
    assert store.erase("u-25") == Erased()  # whose event has gone
    assert store.erase("u-5") == Erased(1, 1, 1, 1)
    store.close()


def test_writers_go_on_while_it_prunes(store: Store, clock: Clock) -> None:
    clock.days = -60
    asked(store, StoredQuery("old", "docs", "text"))
    graded = [Event("old", f"d{number}", "graded", relevance=1.0) for number in range(3_000)]
    store.add_round(StoredQuery("old", "", ""), a_round("a"), Page(0, ("a",)), graded, new=False)
    clock.days = 0
    asked(store)
    pruning = threading.Thread(target=prune, args=(store.database, 59))
    pruning.start()
    written = 0
    while pruning.is_alive() or not written:
        store.add_event(Event("q1", f"d{written}", "click"))
        written += 1
    pruning.join()
    assert count(store, "events") == written
    assert count(store, "queries") == 1


def test_whole_weeks_are_dropped(postgres_address: str, clock: Clock) -> None:
    store = Store.open(postgres_address)
    clock.days = -70
    asked(store)
    old = monday(clock.ms())
    clock.days = 0
    assert set(partitions(store)) >= {name_of("events", old), name_of("rankings", old + WEEK_MS)}
    assert prune(store.database, 30) == Erased(1, 1, 1, 0)
    left = [name for name in partitions(store) if name.startswith("events")]
    assert min(left) >= name_of("events", monday(clock.ms() - 30 * DAY_MS))
    clock.days = -70  # and are made again where the clock was turned back
    asked(store)
    assert count(store, "rankings") == 1
    store.close()


def test_a_drop_that_was_interrupted_is_finished(postgres_address: str, clock: Clock) -> None:
    store = Store.open(postgres_address)
    clock.days = -70
    asked(store)
    name = name_of("events", monday(clock.ms()))
    clock.days = 0
    with store.writing() as connection:
        connection.exec_driver_sql(f"ALTER TABLE events DETACH PARTITION {name}")
    prune(store.database, 30)
    assert name not in partitions(store)
    store.close()


def test_the_commands(tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*arguments: str) -> dict[str, object]:
        assert run(["store", *arguments, "--home", str(tmp_path), "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    assert run(["store", "info", "--home", str(tmp_path)]) == 2
    assert "There is no store at" in capsys.readouterr().err
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    year(store, clock)
    store.close()
    before = command("info")
    assert before["rows"] == {"queries": 6, "rankings": 6, "impressions": 6, "events": 6, "salts": 0}
    assert before["revision"] == before["newest"]
    counts = {"queries": 1, "rankings": 1, "impressions": 1, "events": 1}
    assert command("prune", "--dry-run") == {"days": 90, "dry_run": True, **counts}
    assert command("prune") == {"days": 90, "dry_run": False, **counts}
    assert command("prune", "--days", "70") == {"days": 70, "dry_run": False, **counts}
    assert command("erase", "s") == dict.fromkeys(counts, 4)
    assert command("migrate")["before"] == before["newest"]
    assert run(["store", "info", "--home", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert str(tmp_path) in told
    assert "queries     0" in told
    assert run(["store", "prune", "--home", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        "Removed 0 queries, 0 rankings, 0 impressions, 0 events: what is older than 90 days.\n"
    )
