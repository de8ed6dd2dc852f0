"""Migrations make the tables that the code expects, and take over what earlier versions wrote."""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from index.errors import ConflictError
from server.events import Event
from server.store import Store, schema
from server.store.records import Erased
from server.store.rows import packed
from server.store.tables import METADATA
from tests.postgres import Server
from tests.server.store.conftest import QUERY, asked, count

_MODULES = ("server.store.tables", "server.keys", "server.releases")
"""Where the tables are declared."""


def test_the_migrations_make_the_declared_tables(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    for module in _MODULES:
        importlib.import_module(module)

    def compared(_item: object, name: str | None, kind: str, reflected: bool, _to: object) -> bool:
        only_there = name == "ix_events_idempotency_key" or (kind == "table" and str(name)[-8:].isdigit())
        return not (reflected and only_there)  # SQLite's unique index, and PostgreSQL's weeks

    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": compared})
        assert compare_metadata(context, METADATA) == []
        assert schema.revision(connection) == schema.NEWEST


def test_revisions_are_numbered_in_a_row() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert script.get_heads() == [schema.NEWEST]
    assert [part.revision for part in reversed(list(script.walk_revisions()))] == list(schema.REVISIONS)
    assert list(schema.REVISIONS) == [f"{number:04}" for number in range(1, len(schema.REVISIONS) + 1)]


def test_opening_an_up_to_date_store_needs_no_alembic(sqlite_address: str) -> None:
    Store.open(sqlite_address).close()
    check = (
        "import sys; from server.store import Store; Store.open(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check, sqlite_address], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_newer_schema_is_refused(store: Store, address: str) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(ConflictError, match=r"schema revision 9999.*Upgrade"):
            Store.open(address)
    finally:
        with store.writing() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{schema.NEWEST}'"))


@pytest.mark.parametrize("version", [0, 7])
def test_another_programs_file_is_refused(tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE things (id INTEGER)")
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(ConflictError, match="another program"):
        Store.open(f"sqlite:///{tmp_path / 'other.db'}")


def test_another_programs_database_is_refused(postgres: Server) -> None:
    import psycopg

    address = postgres.database("other")
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE things (id INTEGER)")
    with pytest.raises(ConflictError, match="another program"):
        Store.open(address)


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_from_before_alembic_is_taken_over(tmp_path: Path, version: int) -> None:
    path = tmp_path / "store.db"
    ddl = (Path(__file__).parent / "version_2.sql").read_text()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(ddl)
        old.execute("INSERT INTO queries VALUES ('q1', 'docs', 'how to open a file', 'kind == \"function\"', 1)")
        ranking = ("q1", 1, "fused", "v1", "g1", "rrf", packed(["a", "b"]), b"\0\0\0\x40\0\0\x80\x3f", None, "[]", 2)
        old.execute(f"INSERT INTO rankings VALUES ({', '.join('?' * 11)})", ranking)
        arm = [None, None] if version == 1 else ["duel", "[1]"]
        old.execute("INSERT INTO impressions VALUES (7, 'q1', 1, 0, '[\"a\"]', 's', 'u', NULL, 3, ?, ?)", arm)
        old.execute("INSERT INTO events VALUES (9, 'q1', 'a', 'click', NULL, NULL, 1, 1200, 'k', 4)")
        if version == 1:
            old.execute("ALTER TABLE impressions DROP COLUMN arm")
            old.execute("ALTER TABLE impressions DROP COLUMN credits")
        old.execute(f"PRAGMA user_version = {version}")
        old.commit()
    store = Store.open(f"sqlite:///{path}")
    assert store.query("q1") == QUERY
    newest = store.round("q1")
    assert newest is not None
    assert newest.ranking.ids == ("a", "b")
    assert [dict(page.clicked) for page in store.seen("q1", {"a"})] == [{"a": 1200}]
    again = Event("q1", "a", "click", position=1, dwell_ms=1200, idempotency_key="k")
    assert store.add_event(again) == (9, True)
    assert store.add_event(Event("q1", "b", "click")) == (10, False)
    with store.reading() as connection:
        page = connection.execute(text("SELECT impression_id, user_id, arm, credits FROM impressions")).one()
    assert tuple(page) == (7, "u", *arm)
    test_the_migrations_make_the_declared_tables(store)
    store.close()


def test_events_from_before_they_named_people_are_taken_over(address: str) -> None:
    store = Store.open(address)
    asked(store)
    sent = Event("q1", "a", "click", position=1, dwell_ms=1200, idempotency_key="k")
    number, _ = store.add_event(sent)
    with store.writing() as connection:  # as revision 0007 had it
        for person in ("session_id", "client_id", "user_id"):
            connection.execute(text(f"DROP INDEX ix_events_{person}"))
            connection.execute(text(f"ALTER TABLE events DROP COLUMN {person}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0007'"))
    store.close()
    store = Store.open(address)
    test_the_migrations_make_the_declared_tables(store)
    assert store.add_event(replace(sent, user_id="visitor")) == (number, True)
    assert store.erase("visitor") == Erased()
    store.add_event(replace(sent, idempotency_key="another", user_id="visitor"))
    assert store.erase("visitor") == Erased(1, 1, 1, 2)
    store.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((Path(__file__).parent / "version_2.sql").read_text())
        old.execute("CREATE TABLE old_events (id INTEGER)")  # in the way of the last step
        old.execute("PRAGMA user_version = 2")
    with pytest.raises(Exception, match="already another table"):
        Store.open(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (2,)
        names = {name for (name,) in old.execute("SELECT name FROM sqlite_master")}
        old.execute("DROP TABLE old_events")
    assert not names & {"old_impressions", "alembic_version"}
    store = Store.open(f"sqlite:///{path}")
    asked(store)
    assert count(store, "impressions") == 1
    store.close()
