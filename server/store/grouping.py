"""Group commit for a database with one writer at a time: transactions that wait for one another share one commit.

A commit waits for the disk, and who comes meanwhile has to wait for the commit. So threads write one after the other
into one transaction, and the last in line commits for all of them. Every one returns when its own writes are on the
disk, not before; one that is alone commits at once, and nobody waits for company. Nor does anybody for one that takes
long: what is done when its turn comes is committed first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from index.distribution import SIZES, Distribution


class GroupCommit:
    """The writers of one database. Thread-safe."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        """`connect` gives a connection whose transactions take the database's write lock when they begin."""
        self._connect = connect
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self.waiting = 0  # threads that want their turn
        self.sizes = Distribution(SIZES)  # of the groups that were committed
        self._group: _Group | None = None

    @contextmanager
    def transaction(self, *, long: bool = False) -> Iterator[Connection]:
        """A transaction: durable when the block ends, taken back when it raises, whatever becomes of the others.

        One that is `long` begins a group: those who have written before it are not kept from their commit.
        """
        with self._counting:
            self.waiting += 1
        with self._turn:
            with self._counting:
                self.waiting -= 1
            if long and self._group is not None:
                self._end(self._group)
            group = self._group = self._group or _Group(self._connect())
            try:
                with group.part() as connection:
                    yield connection
            finally:
                if group.lost or not self.waiting:
                    self._end(group)
        group.wait()

    def _end(self, group: _Group) -> None:
        self._group = None
        group.end()
        if not group.lost:
            self.sizes.add(group.parts)


class _Group:
    """One transaction of the database, made of parts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.parts = 0
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise

    @property
    def lost(self) -> bool:
        """Whether it can only be taken back."""
        return self._failure is not None

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """What one thread writes; taken back alone when it raises."""
        savepoint = (
            self._connection.begin_nested() if self.parts else None
        )  # the first is the group, as long as it is alone
        try:
            yield self._connection
            if savepoint is not None:
                savepoint.commit()
        except BaseException as error:
            if savepoint is not None and self._open:
                savepoint.rollback()
            else:
                self._failure = error
            raise
        self.parts += 1

    @property
    def _open(self) -> bool:
        """False where SQLite has taken back everything by itself, as it does when the disk is full."""
        return bool(getattr(self._connection.connection.driver_connection, "in_transaction", False))

    def end(self) -> None:
        """Commit it, or take it back where it is lost, and tell those who wait."""
        try:
            with self._connection:
                if not self.lost:
                    self._committed()
        except BaseException as error:
            self._failure = self._failure or error
        finally:
            self._ended.set()

    def _committed(self) -> None:
        try:
            self._connection.commit()
        except BaseException:
            self._connection.invalidate()  # or the transaction would stay open, and with it the database's write lock
            raise

    def wait(self) -> None:
        """Until it is durable. Raises what kept it from being so."""
        self._ended.wait()
        if self._failure is not None:
            raise self._failure
