"""Several threads in one commit: each durable when it returns, and each taken back alone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, exc

from server.store.grouping import GroupCommit

Write = Callable[[Connection], object]
PATIENCE = 300.0  # seconds that one waits for the file; only a busy disk comes near it


class Mishap(Exception):
    """What a thread meets in the middle of its transaction."""


class Database:
    """A file with one table, whose commits are counted."""

    def __init__(self, path: Path, most_pages: int = 10_000) -> None:
        patient = {"timeout": PATIENCE}
        self.engine: Engine = create_engine(f"sqlite:///{path}", isolation_level=None, connect_args=patient)
        event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        event.listen(self.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {most_pages}"))
        event.listen(self.engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE kept (what TEXT PRIMARY KEY, after TEXT REFERENCES kept)")
        self.commits = 0
        event.listen(self.engine, "commit", self._count)
        self.group = GroupCommit(self.engine.connect)

    def _count(self, _: Connection) -> None:
        self.commits += 1

    def write(self, what: str, then: Write = lambda _: None) -> str:
        with self.group.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO kept (what) VALUES (?)", (what,))
            then(connection)
        return what

    def kept(self) -> set[str]:
        path = str(self.engine.url.database)
        with closing(sqlite3.connect(path, PATIENCE)) as connection:  # beside a writer, without its lock
            return {what for (what,) in connection.execute("SELECT what FROM kept")}

    def together(self, first: Write, *others: Write) -> list[Future[str]]:
        """Write 0, 1, 2 … each in a thread of its own, the others while the first is in its transaction."""
        begun, go = threading.Event(), threading.Event()

        def held(connection: Connection) -> None:
            begun.set()
            assert go.wait(30)
            first(connection)

        with ThreadPoolExecutor(1 + len(others)) as pool:
            done = [pool.submit(self.write, "0", held)]
            assert begun.wait(30)
            for number, then in enumerate(others, 1):
                done.append(pool.submit(self.write, str(number), then))
                while self.group.waiting < number:
                    begun.wait(0)
            go.set()
        return done


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "group.db")
    yield database
    database.engine.dispose()


def well(_: Connection) -> None:
    """Nothing happens."""


def badly(_: Connection) -> None:
    raise Mishap


def test_who_is_alone_commits_at_once(database: Database) -> None:
    assert [database.write(what) for what in "ab"] == ["a", "b"]
    assert database.commits == 2
    assert database.kept() == {"a", "b"}


def test_who_waits_for_one_another_shares_a_commit(database: Database) -> None:
    assert [one.result() for one in database.together(well, well, well)] == ["0", "1", "2"]
    assert database.commits == 1
    assert database.group.sizes.read()[1] == 3
    assert database.kept() == {"0", "1", "2"}


@pytest.mark.parametrize("unlucky", [0, 1, 2])
def test_what_fails_is_taken_back_alone(database: Database, unlucky: int) -> None:
    acts = [badly if number == unlucky else well for number in range(3)]
    done = database.together(*acts)
    assert isinstance(done[unlucky].exception(), Mishap)
    assert database.kept() == {"0", "1", "2"} - {str(unlucky)}
    assert database.write("after") == "after"


def test_nobody_is_told_that_a_commit_which_failed_was_done(database: Database) -> None:
    def dangling(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # found out by the commit, not before
        connection.exec_driver_sql("INSERT INTO kept VALUES ('child', 'nobody')")

    done = database.together(well, dangling, well)
    assert all(isinstance(one.exception(), exc.IntegrityError) for one in done)
    assert database.kept() == set()
    assert database.write("after") == "after"


def test_a_full_disk_in_the_middle_of_a_group(tmp_path: Path) -> None:
    def much(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO kept (what) VALUES (?)", ("x" * 1_000_000,))

    database = Database(tmp_path / "small.db", most_pages=20)
    done = database.together(well, much, well)
    assert isinstance(done[1].exception(), exc.OperationalError)
    assert database.kept() == {one.result() for one in done if one.exception() is None}
    assert database.write("after") == "after"
    database.engine.dispose()


def test_a_transaction_that_cannot_begin_fails_alone(database: Database) -> None:
    with database.engine.begin() as other:
        other.exec_driver_sql("PRAGMA busy_timeout = 0")
        engine = create_engine(database.engine.url, isolation_level=None, connect_args={"timeout": 0})
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        group = GroupCommit(engine.connect)
        with pytest.raises(exc.OperationalError, match="locked"), group.transaction():
            raise AssertionError("it has not begun")
    with group.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO kept (what) VALUES ('later')")
    assert database.kept() == {"later"}
    engine.dispose()


def test_a_long_one_holds_up_nobody_who_has_written_already(database: Database) -> None:
    """A small one has written, and a long one waits: the small one is durable while the long one goes on."""
    begun, go_on = threading.Event(), threading.Event()

    def long() -> None:
        with database.group.transaction(long=True) as connection:
            connection.exec_driver_sql("INSERT INTO kept (what) VALUES ('long')")
            begun.set()
            assert go_on.wait(30)

    def until_it_waits(_: Connection) -> None:
        longest.append(pool.submit(long))
        while not database.group.waiting:
            begun.wait(0)

    longest = list[Future[None]]()
    with ThreadPoolExecutor(3) as pool:
        small = pool.submit(database.write, "small", until_it_waits)
        try:
            assert small.result(30) == "small"
            assert begun.wait(30)
            assert database.kept() == {"small"}
            later = pool.submit(database.write, "later")
            while not database.group.waiting:
                begun.wait(0)
        finally:
            go_on.set()
        assert later.result(30) == "later"
        longest[0].result(30)
    assert database.kept() == {"small", "long", "later"}
    assert database.commits == 2  # who came while it went on shares its commit


def test_many_threads(database: Database) -> None:
    def work(worker: int) -> list[str]:
        kept = []
        for number in range(20):
            kept.append(database.write(f"{worker}-{number}"))
            assert kept[-1] in database.kept()
            with pytest.raises(Mishap):
                database.write(f"never-{worker}-{number}", badly)
        return kept

    with ThreadPoolExecutor(8) as pool:
        kept = {what for part in pool.map(work, range(8)) for what in part}
    assert database.kept() == kept
    assert len(kept) == 160
