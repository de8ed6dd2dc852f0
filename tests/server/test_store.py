"""The store on a real SQLite file: what goes in comes out, and failures are told apart from success."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event

from index.errors import ConflictError, InputError, NotFoundError, UnavailableError
from index.types import Ranking
from server.events import Event, Mark
from server.store import Page, Round, Store, StoredQuery, _packed, _unpacked
from server.tables import SCHEMA_VERSION

QUERY = StoredQuery("q1", "docs", "how to open a file", 'kind == "function"')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{path}")
    yield store
    store.close()


def a_round(*ids: str, **kwargs: object) -> Round:
    return Round(Ranking.of(ids, np.arange(len(ids), 0, -1) / 3), "fused", "v1", "g1", "combsum", **kwargs)  # type: ignore[arg-type]


def asked(store: Store, query: StoredQuery = QUERY) -> Round:
    return store.add_round(query, a_round("a", "b", "c"), Page(0, ("a", "b"), "s", "u"), new=True)


def rows(path: Path, table: str) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()


def test_a_round_comes_back_as_it_was(store: Store) -> None:
    stages = {"bm25": Ranking.of(["b", "a"], [7.25, 1 / 3]), "probe": Ranking.empty()}
    made = a_round("a", "b", "ü☃", feedback=(Mark("b", "click", 1.0, 0.5),), stages=stages)
    first = store.add_round(QUERY, made, Page(0, ("a",)), new=True)
    assert first.number == 1
    back = store.round("q1")
    assert back is not None
    assert back.ranking.ids == ("a", "b", "ü☃")
    assert back.ranking.scores.tolist() == pytest.approx(made.ranking.scores.tolist(), rel=1e-6)
    assert (back.pipeline, back.version, back.generation, back.number) == ("fused", "v1", "g1", 1)
    assert back.feedback == made.feedback
    assert back.stages == stages
    assert store.query("q1") == QUERY


def test_rounds_are_numbered_and_the_newest_is_served(store: Store) -> None:
    asked(store)
    assert store.add_round(QUERY, a_round("c"), Page(0, ("c",)), new=False).number == 2
    newest, first = store.round("q1"), store.round("q1", 1)
    assert newest is not None
    assert first is not None
    assert (newest.number, newest.ranking.ids, newest.stages) == (2, ("c",), None)
    assert first.ranking.ids == ("a", "b", "c")
    assert store.round("q1", 3) is None
    assert store.round("other") is None


def test_an_empty_ranking_is_kept(store: Store) -> None:
    store.add_round(QUERY, a_round(), Page(0, ()), new=True)
    assert store.round("q1") == Round(Ranking.empty(), "fused", "v1", "g1", "combsum", number=1)


def test_impressions_record_what_was_shown(store: Store, path: Path) -> None:
    asked(store)
    store.add_page("q1", 1, Page(2, ("c",), None, "u"))
    shown = [tuple(row)[1:8] for row in rows(path, "impressions")]
    assert shown == [("q1", 1, 0, '["a", "b"]', "s", "u", None), ("q1", 1, 2, '["c"]', None, "u", None)]


def test_ranked_looks_into_every_round(store: Store) -> None:
    asked(store)
    store.add_round(QUERY, a_round("z"), Page(0, ("z",)), new=False)
    assert store.ranked("q1", "c")
    assert store.ranked("q1", "z")
    assert not store.ranked("q1", "y")
    assert not store.ranked("q2", "a")


def test_events_become_marks(store: Store) -> None:
    asked(store)
    assert store.marks("q1") == {}
    assert store.add_event(Event("q1", "a", "click", position=1, dwell_ms=1200)) == (1, False)
    assert store.add_event(Event("q1", "b", "relevant")) == (2, False)
    store.add_event(Event("q1", "b", "not_relevant"))
    assert {doc: mark.kind for doc, mark in store.marks("q1").items()} == {"a": "click", "b": "not_relevant"}


def test_graded_feedback_is_recorded_with_its_round(store: Store) -> None:
    graded = [Event("q1", "a", "graded", relevance=0.75, weight=2.0)]
    store.add_round(QUERY, a_round("a"), Page(0, ("a",)), graded, new=True)
    assert store.marks("q1") == {"a": Mark("a", "graded", 0.75, 2.0)}


def test_a_round_is_recorded_wholly_or_not_at_all(store: Store, path: Path) -> None:
    asked(store)
    orphan = [Event("nobody", "a", "graded", relevance=1.0, weight=1.0)]  # breaks the foreign key
    with pytest.raises(Exception, match="FOREIGN KEY"):
        store.add_round(QUERY, a_round("z"), Page(0, ("z",)), orphan, new=False)
    assert len(rows(path, "rankings")) == 1
    assert len(rows(path, "impressions")) == 1


def test_an_unknown_query(store: Store) -> None:
    with pytest.raises(NotFoundError, match="'nobody'"):
        store.query("nobody")
    with pytest.raises(NotFoundError, match="'nobody'"):
        store.add_event(Event("nobody", "a", "click"))


def test_idempotency(store: Store, path: Path) -> None:
    asked(store)
    click = Event("q1", "a", "click", position=1, idempotency_key="k")
    assert store.add_event(click) == (1, False)
    assert store.add_event(click) == (1, True)
    with pytest.raises(ConflictError, match="'k' belongs to another event"):
        store.add_event(Event("q1", "b", "click", position=1, idempotency_key="k"))
    assert len(rows(path, "events")) == 1


def test_commits_are_synced(store: Store) -> None:
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA user_version").scalar() == SCHEMA_VERSION


def test_it_opens_again(store: Store, path: Path) -> None:
    asked(store)
    store.close()
    again = Store.open(f"sqlite:///{path}")
    assert again.query("q1") == QUERY
    again.close()


def test_many_threads_write_and_read_their_own(store: Store, path: Path) -> None:
    def work(worker: int) -> None:
        query = StoredQuery(f"q{worker}", "docs", "text")
        asked(store, query)
        for i in range(10):
            store.add_event(Event(query.id, f"d{i}", "click"))
            assert len(store.marks(query.id)) == i + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(rows(path, "events")) == 80


def test_two_threads_with_one_key_make_one_event(store: Store, path: Path) -> None:
    asked(store)
    event = Event("q1", "a", "click", idempotency_key="same")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: store.add_event(event), range(16)))
    assert {event_id for event_id, _ in results} == {1}
    assert sorted(duplicate for _, duplicate in results) == [False] + [True] * 15
    assert len(rows(path, "events")) == 1


def test_concurrent_rounds_get_different_numbers(store: Store) -> None:
    asked(store)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.add_round(QUERY, a_round("a"), Page(0, ()), new=False), range(16)))
    assert sorted(one.number for one in made) == list(range(2, 18))


def test_a_newer_schema_is_refused(store: Store, path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(ConflictError, match=rf"schema version {SCHEMA_VERSION + 1}.*Upgrade"):
        Store.open(f"sqlite:///{path}")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE things (id INTEGER)")
    with pytest.raises(ConflictError, match="another program"):
        Store.open(f"sqlite:///{tmp_path / 'other.db'}")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but long enough to be looked at " * 40)
    with pytest.raises(ConflictError, match="not an SQLite database"):
        Store.open(f"sqlite:///{tmp_path / 'notes.txt'}")


@pytest.mark.parametrize("address", ["nonsense", "postgresql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_other_urls_are_refused(address: str) -> None:
    with pytest.raises(InputError, match="sqlite:///path"):
        Store.open(address)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be made"):
        Store.open(f"sqlite:///{tmp_path}/file/store.db")


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_read_only_store_serves_reads_and_refuses_writes(store: Store, path: Path) -> None:
    asked(store)
    store.close()
    frozen = Store.open(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert frozen.query("q1") == QUERY
    with pytest.raises(UnavailableError, match="cannot be written"):
        frozen.add_event(Event("q1", "a", "click"))
    frozen.close()
    assert rows(path, "events") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UnavailableError):
        Store.open(f"sqlite:///{tmp_path}/store.db")


def test_a_full_disk_loses_nothing_that_was_acknowledged(path: Path) -> None:
    Store.open(f"sqlite:///{path}").close()
    full = Store.open(f"sqlite:///{path}")
    full._engine.dispose()
    sqlalchemy_event.listen(full._engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 40"))
    asked(full)
    acknowledged: list[int] = []

    def fill() -> None:
        for i in range(10_000):
            acknowledged.append(full.add_event(Event("q1", f"document-{i}-" + "x" * 200, "click"))[0])

    with pytest.raises(UnavailableError, match="is full: nothing was recorded"):
        fill()
    assert acknowledged
    assert len(full.marks("q1")) == len(acknowledged)
    full.close()
    roomy = Store.open(f"sqlite:///{path}")
    assert roomy.add_event(Event("q1", "last", "click"))[0] == len(acknowledged) + 1
    assert [row["event_id"] for row in rows(path, "events")] == [*acknowledged, len(acknowledged) + 1]
    roomy.close()


def test_a_busy_store_says_so(store: Store, path: Path) -> None:
    asked(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._engine.dispose()
    sqlalchemy_event.listen(store._engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 1"))
    with pytest.raises(UnavailableError, match="busy with another writer"):
        store.add_event(Event("q1", "a", "click"))
    other.execute("ROLLBACK")
    other.close()
    assert store.add_event(Event("q1", "a", "click")) == (1, False)


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_ids_pack_and_unpack(ids: list[str]) -> None:
    assert _unpacked(_packed(ids)) == ids
