"""The store on a real SQLite file: durability, and each failure in words that help."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_event

from index.errors import ConflictError, UnavailableError
from server.events import Event
from server.store import Store
from tests.server.store.conftest import QUERY, asked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{path}")
    yield store
    store.close()


def events_in(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT event_id FROM events ORDER BY event_id")]


def test_commits_are_synced(store: Store) -> None:
    with store.database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but long enough to be looked at " * 40)
    with pytest.raises(ConflictError, match="not an SQLite database"):
        Store.open(f"sqlite:///{tmp_path / 'notes.txt'}")


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
    assert events_in(path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UnavailableError):
        Store.open(f"sqlite:///{tmp_path}/store.db")


def test_a_full_disk_loses_nothing_that_was_acknowledged(path: Path) -> None:
    Store.open(f"sqlite:///{path}").close()
    full = Store.open(f"sqlite:///{path}")
    full.database.engine.dispose()
    sqlalchemy_event.listen(full.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 40"))
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
    assert events_in(path) == [*acknowledged, len(acknowledged) + 1]
    roomy.close()


def test_a_busy_store_says_so(store: Store, path: Path) -> None:
    asked(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.database.engine.dispose()
    sqlalchemy_event.listen(store.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 1"))
    with pytest.raises(UnavailableError, match="busy with another writer"):
        store.add_event(Event("q1", "a", "click"))
    other.execute("ROLLBACK")
    other.close()
    assert store.add_event(Event("q1", "a", "click")) == (1, False)
