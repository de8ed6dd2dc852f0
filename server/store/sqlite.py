"""SQLite as the store's database: durable commits, one writer at a time, and its failures in words that help."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, exc
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL

from index.errors import ClickwiseError, ConflictError, UnavailableError
from server.store.database import Database
from server.store.grouping import GroupCommit

BUSY_MS: Final = 5_000
"""How long a statement waits for another process that is writing."""

ROOM: Final = 1_000_000
"""Bytes that are some dozens of searches: with less free the disk is as good as full."""

_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_MS}",  # first: switching to WAL can itself meet a busy database
    "PRAGMA journal_mode = WAL",
    # A commit returns after fsync of the write-ahead log: what is acknowledged is there after SIGKILL and also after a
    # loss of power, as far as the disk tells the truth. NORMAL would leave out the fsync, and survive SIGKILL alone.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what was removed is overwritten
)


class Sqlite(Database):
    """A file. Raises UnavailableError where its folder cannot be made."""

    def __init__(self, url: URL) -> None:
        self.where = str(url.database)
        try:
            if url.query.get("uri") is None:
                Path(self.where).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(
                f"The folder of the store {self.where} cannot be made: {error.strerror}.", "Choose another store_url."
            ) from None
        self.engine = create_engine(url, pool_size=32, max_overflow=-1, hide_parameters=True)
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "begin", _begin)
        self._immediate = self.engine.execution_options(immediate=True)
        self._group = GroupCommit(self._immediate.connect)  # threads queue here instead of polling SQLite's lock
        self.commits = self._group.sizes

    @contextmanager
    def writing(self, *, long: bool = False) -> Iterator[Connection]:
        with self.errors(), self._group.transaction(long=long) as connection:
            yield connection

    def claim(self, connection: Connection, name: str) -> None:
        """There is one writer at a time anyway."""

    def insert_new(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()

    def compact(self) -> None:
        """Empty the write-ahead log, which holds pages as they were, unless somebody is just reading it."""
        with self.errors(), self.engine.connect().execution_options(autocommitted=True) as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def check_room(self) -> None:
        # A transaction that is taken back never reaches the disk, so a rehearsal does not notice that it is full.
        try:
            free = shutil.disk_usage(Path(self.where).parent).free
        except OSError:  # the file is named by a URI, or away: who writes to it hears that
            return
        if free < ROOM:
            raise UnavailableError(f"The disk of the store {self.where} is full.", "Free some disk space.")

    def size(self, connection: Connection) -> int:
        pages, page_bytes = (
            connection.exec_driver_sql(f"PRAGMA {what}").scalar_one() for what in ("page_count", "page_size")
        )
        return int(pages * page_bytes)

    def _writer(self) -> Engine:
        return self._immediate

    def _is_ours(self, connection: Connection) -> bool:
        return connection.exec_driver_sql("PRAGMA user_version").scalar_one() in (1, 2)

    def _translated(self, error: exc.DBAPIError) -> ClickwiseError | None:
        message = str(error.orig).lower()
        for sign, problem, what, advice in _FAILURES:
            if sign in message:
                return problem(what.format(self.where), advice)
        return None


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("autocommitted", False):
        return
    # A writer takes the lock at once: a transaction that reads first and then upgrades could fail half way.
    immediate = options.get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


_FAILURES: Final[tuple[tuple[str, type[ClickwiseError], str, str], ...]] = (
    ("readonly", UnavailableError, "The store {} cannot be written.", "Check the permissions of the file and folder."),
    ("is full", UnavailableError, "The store {} is full: nothing was recorded.", "Free some disk space."),
    ("i/o error", UnavailableError, "The disk of the store {} failed.", "Check the disk and its free space."),
    ("unable to open", UnavailableError, "The store {} cannot be opened.", "Check the path and its permissions."),
    ("locked", UnavailableError, "The store {} is busy with another writer.", "Try again in a moment."),
    ("not a database", ConflictError, "{} is not an SQLite database.", "Name another file in store_url."),
    ("malformed", ConflictError, "The store {} is damaged.", "Restore it from a backup, or move it away."),
)
