"""What the store asks of a database: transactions, their failures in words that help, and what SQL leaves open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, Insert, Table, exc
from sqlalchemy.engine import URL, make_url

from index.distribution import Distribution
from index.errors import ClickwiseError, ConflictError, InputError, NotFoundError
from server.store import rows, schema
from server.store.records import Erased

_ADVICE = "Write it as sqlite:///path/to/store.db or postgresql://user@host/database."


class Database(ABC):
    """One database of a store. Thread-safe. `where` names it in messages, without a password."""

    engine: Engine
    where: str
    commits: Distribution | None = None
    """How many transactions shared each commit, where they do."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads: all of it sees the store at one moment."""
        with self.errors(), self._reader().connect() as connection:
            yield connection

    def looking(self) -> AbstractContextManager[Connection]:
        """A connection for one statement that reads: what needs no transaction costs none."""
        return self.reading()

    def settled(self) -> AbstractContextManager[Connection]:
        """A transaction that reads what is there when everybody who was writing has ended: ids up to the highest it
        sees are final, later rows get higher ones."""
        return self.reading()

    @contextmanager
    def writing(self, *, long: bool = False) -> Iterator[Connection]:
        """A transaction that writes: durable when the block ends, taken back when it raises. Who says that it is `long`
        holds up nobody who has written already, where transactions share commits."""
        with self.errors(), self._writer().begin() as connection:
            yield connection

    def upgrade(self) -> str | None:
        """Bring the schema to what this Clickwise works with, and return the revision before.

        Raises ConflictError for a database of another program or of a newer Clickwise.
        """
        with self.reading() as connection:
            found = schema.revision(connection)
        schema.check(found, self.where)
        if found != schema.NEWEST:
            with self.errors(), self._writer().begin() as connection:
                self._migrate(connection)
        return found

    def _migrate(self, connection: Connection) -> None:
        self.claim(connection, "schema")
        found = schema.revision(connection)  # another process may have been faster
        schema.check(found, self.where)
        if found is None and not schema.is_new(connection) and not self._is_ours(connection):
            raise ConflictError(
                f"{self.where} is a database of another program.",
                "Name another one in store_url; an SQLite file will be created.",
            )
        if found != schema.NEWEST:
            schema.upgrade(connection)

    def _is_ours(self, connection: Connection) -> bool:
        """Whether tables without a revision are those of a Clickwise before Alembic."""
        return False

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the database says about files, locks and connections into errors with a mend; anything else
        passes through."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._translated(error) or error from error

    @abstractmethod
    def claim(self, connection: Connection, name: str) -> None:
        """Let nobody else into a transaction that claims this name, before this one has ended."""

    @abstractmethod
    def insert_new(self, table: Table) -> Insert:
        """An INSERT that leaves out a row whose key is there."""

    def now_ms(self, connection: Connection) -> int:
        """The time by which several processes go, in milliseconds of the epoch: the database's, if it has a clock."""
        return rows.now_ms()

    def drop_before(self, ms: int) -> Erased:
        """Remove whole parts of the store that are older than this time, where it has such parts."""
        return Erased()

    @abstractmethod
    def compact(self) -> None:
        """Leave nothing to be found of rows that were removed, as far as the database can."""

    def check_room(self) -> None:  # noqa: B027 - a server has a disk of its own
        """Raises UnavailableError where the disk is seen to have no room for what is to come."""

    @abstractmethod
    def size(self, connection: Connection) -> int:
        """How many bytes the store takes on disk."""

    def _reader(self) -> Engine:
        return self.engine

    def _writer(self) -> Engine:
        return self.engine

    @abstractmethod
    def _translated(self, error: exc.DBAPIError) -> ClickwiseError | None: ...

    def close(self) -> None:
        self.engine.dispose()


def open_database(address: str, *, missing_ok: bool = True) -> Database:
    """The database of a `sqlite:///path` or `postgresql://` URL, with its schema there. A missing SQLite file is made,
    or is a NotFoundError where that is not `missing_ok`.

    Raises InputError for any other URL, ConflictError for a database that is not a store of this version, and
    UnavailableError where it cannot be opened or the driver is not installed.
    """
    database = database_at(address, missing_ok=missing_ok)
    try:
        database.upgrade()
    except BaseException:
        database.close()
        raise
    return database


def database_at(address: str, *, missing_ok: bool = True) -> Database:
    """The database as it is, without a look at its schema."""
    url = _read(address)
    if url.get_backend_name() == "sqlite":
        from server.store.sqlite import Sqlite

        if not missing_ok and url.query.get("uri") is None and not Path(url.database or "").is_file():
            raise NotFoundError(
                f"There is no store at {Path(url.database or '').absolute()}.",
                "Name its folder with --home; 'clickwise serve' makes one.",
            )
        return Sqlite(url)
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        from server.store.postgres import Postgres

        return Postgres(url)
    raise InputError(f"The store's URL {url.render_as_string()} names no database that stores work on.", _ADVICE)


def _read(address: str) -> URL:
    try:
        url = make_url(address)
    except exc.ArgumentError:
        raise InputError("The store's URL cannot be read.", _ADVICE) from None
    if not url.database or ":memory:" in url.database:
        raise InputError(f"The store's URL {url.render_as_string()} names no database.", _ADVICE)
    return url
