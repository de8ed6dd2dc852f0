"""PostgreSQL as the store's database, so that several replicas share one store: its locks, weeks and failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, exc, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL

from index.errors import ClickwiseError, InputError, UnavailableError
from server.store.database import Database
from server.store.records import Erased
from server.store.rows import now_ms
from server.store.weeks import Weeks

_SETTINGS: Final = (
    # A commit returns after fsync, whatever the server's default is: what is acknowledged is there after a crash of
    # this process, of PostgreSQL or of the machine. PostgreSQL lets commits that come together share an fsync itself.
    "SET synchronous_commit = on",
    "SET lock_timeout = '5s'",
    "SET idle_in_transaction_session_timeout = '10min'",  # a process that hangs holds its locks no longer
)


class Postgres(Database):
    """A database of a server. Raises UnavailableError where the driver is not installed."""

    def __init__(self, url: URL) -> None:
        self.where = url.render_as_string(hide_password=True)
        try:
            # A connection that died while it was idle is replaced before its next use, so a server that was restarted
            # costs no request. The threads of the service bound the overflow.
            self.engine = create_engine(
                url.set(drivername="postgresql+psycopg"),
                pool_size=8,
                max_overflow=-1,
                pool_pre_ping=True,
                pool_recycle=3600,
                hide_parameters=True,  # no query and no id in an error's message, and so in no log
                connect_args={} if "connect_timeout" in url.query else {"connect_timeout": 5},
            )
        except ModuleNotFoundError:
            raise UnavailableError(
                "A store on PostgreSQL needs the package psycopg.", "Run: pip install 'clickwise[postgres]'."
            ) from None
        event.listen(self.engine, "connect", _configure)
        self._snapshot = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._at_once = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.weeks = Weeks(self)

    @contextmanager
    def writing(self, *, long: bool = False) -> Iterator[Connection]:
        self.weeks.make(now_ms())
        with super().writing(long=long) as connection:
            yield connection

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        with self.errors(), self._at_once.connect() as connection:
            yield connection

    @contextmanager
    def settled(self) -> Iterator[Connection]:
        # Ids are given out before their transactions end, in any order. Writers wait while this lock does.
        with super().writing() as connection:
            connection.exec_driver_sql("LOCK TABLE impressions, events IN SHARE MODE")
            yield connection

    def claim(self, connection: Connection, name: str) -> None:
        connection.execute(_CLAIM, {"name": f"clickwise:{name}"})

    def insert_new(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()

    def now_ms(self, connection: Connection) -> int:
        now = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp()) * 1000").scalar_one()
        return int(now)

    def drop_before(self, ms: int) -> Erased:
        return self.weeks.drop_before(ms)

    def compact(self) -> None:
        """Autovacuum does that by itself."""

    def size(self, connection: Connection) -> int:
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())

    def _reader(self) -> Engine:
        return self._snapshot

    def _translated(self, error: exc.DBAPIError) -> ClickwiseError | None:
        state = getattr(error.orig, "sqlstate", None)
        if state is None and isinstance(error, exc.DataError):  # the driver refuses a text that SQLite would take
            return InputError("A text holds the character NUL, which PostgreSQL cannot store.", "Leave it out.")
        if state is None:  # the server did not answer
            lost = error.connection_invalidated or isinstance(error, exc.OperationalError)
            return _gone(self.where, str(error.orig)) if lost else None
        for sign, problem in _FAILURES.items():
            if state.startswith(sign):
                return problem(self.where)
        return None


_CLAIM: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def _configure(connection: Any, _record: Any) -> None:
    before, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute("; ".join(_SETTINGS))
    connection.autocommit = before


def _unavailable(what: str, advice: str) -> Callable[[str], ClickwiseError]:
    return lambda where: UnavailableError(what.format(where), advice)


def _gone(where: str, why: str = "") -> ClickwiseError:
    """`why` is what the driver says: the reason ends the last of its lines that neither asks nor explains."""
    lines = [line.strip() for line in why.splitlines()]
    told = [line for line in lines if line and not line.endswith("?") and not line.startswith(("DETAIL:", "HINT:"))]
    reason = re.split(r"FATAL:|failed:", told[-1])[-1].strip().rstrip(".") if told else ""
    return UnavailableError(
        f"The store {where} cannot be reached{f': {reason}' if reason else ''}.",
        "Check that PostgreSQL runs there and lets this user in; it is tried anew with every request.",
    )


_BUSY: Final = _unavailable("The store {} is busy with another writer.", "Try again in a moment.")
_FAILURES: Final[
    dict[str, Callable[[str], ClickwiseError]]
] = {  # the beginning of an SQLSTATE -> what to say; longer ones first
    "53100": _unavailable("The disk of the store {} is full: nothing was recorded.", "Free some disk space."),
    "53300": _unavailable("The store {} takes no more connections.", "Raise max_connections, or run fewer replicas."),
    "53": _unavailable("The store {} has no room to work.", "Give PostgreSQL more memory or disk."),
    "25006": _unavailable("The store {} cannot be written.", "Name the primary server in store_url, not a standby."),
    "42501": _unavailable("The user of the store {} may not do that.", "Make this user the owner of the database."),
    "08": _gone,
    "57P": _gone,  # it is being stopped, or has just crashed
    "58": _unavailable("The disk of the store {} failed.", "Look into the log of PostgreSQL."),
    "40": _BUSY,  # a deadlock, or two transactions that cannot both be
    "55P03": _BUSY,
    "57014": _BUSY,
}
"""The beginning of an SQLSTATE -> what to say; longer ones first."""
