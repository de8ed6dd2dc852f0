"""SQLite as the store's engine: durable commits, one writer at a time, and its failures in words that help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect
from sqlalchemy.engine import URL, make_url

from index.errors import ClickwiseError, ConflictError, InputError, UnavailableError
from server.tables import METADATA, SCHEMA_VERSION

BUSY_MS: Final = 5_000
"""How long a statement waits for another process that is writing."""

_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_MS}",  # first: switching to WAL can itself meet a busy database
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a commit returns after fsync: acknowledged means durable
    "PRAGMA foreign_keys = ON",
)

_STEPS: Final[dict[int, tuple[str, ...]]] = {
    1: ("ALTER TABLE impressions ADD COLUMN arm VARCHAR", "ALTER TABLE impressions ADD COLUMN credits TEXT"),
}
"""Version -> what makes a store of that version one of the next."""


def open_engine(address: str) -> Engine:
    """An engine for a `sqlite:///path` URL, with its folder made and its schema there.

    Raises InputError for any other URL, ConflictError for a file that is not a store of this version, and
    UnavailableError where the file cannot be opened.
    """
    url = _checked(address)
    try:
        if url.query.get("uri") is None:
            Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"The folder of the store {url.database} cannot be made: {error.strerror}.", "Choose another store_url."
        ) from None
    engine = create_engine(url, pool_size=32, max_overflow=-1)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with store_errors(str(url.database)):
            prepare(engine)
    except ClickwiseError:
        engine.dispose()
        raise
    return engine


def _checked(address: str) -> URL:
    advice = "Write it as sqlite:///path/to/store.db."
    try:
        url = make_url(address)
    except exc.ArgumentError:
        raise InputError(f"The store's URL {address!r} cannot be read.", advice) from None
    if url.get_backend_name() != "sqlite" or not url.database or ":memory:" in url.database:
        raise InputError(f"The store's URL {url.render_as_string()} does not name an SQLite file.", advice)
    return url


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: a transaction that reads first and then upgrades could fail half way.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def prepare(engine: Engine) -> None:
    """Create the tables in a new file; bring an old one to this version."""
    with engine.connect() as connection:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    where = engine.url.database
    if version > SCHEMA_VERSION:
        raise ConflictError(
            f"The store {where} has schema version {version}; this Clickwise knows versions up to {SCHEMA_VERSION}.",
            "Upgrade Clickwise, or name another file in store_url.",
        )
    if version == SCHEMA_VERSION:
        return
    with engine.execution_options(immediate=True).begin() as connection:
        # Another process may have been faster between the look and the lock.
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version == SCHEMA_VERSION:
            return
        if version == 0:
            if inspect(connection).get_table_names():
                raise ConflictError(
                    f"{where} is a database of another program.", "Name another file in store_url; it will be created."
                )
            METADATA.create_all(connection)
        else:
            for statement in (line for step in range(version, SCHEMA_VERSION) for line in _STEPS[step]):
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def store_errors(where: str) -> Iterator[None]:
    """Turn what SQLite says about files and locks into errors with a mend; anything else passes through."""
    try:
        yield
    except exc.DatabaseError as error:
        raise _translated(str(error.orig).lower(), where) or error from error


_FAILURES: Final[tuple[tuple[str, type[ClickwiseError], str, str], ...]] = (
    ("readonly", UnavailableError, "The store {} cannot be written.", "Check the permissions of the file and folder."),
    ("is full", UnavailableError, "The store {} is full: nothing was recorded.", "Free some disk space."),
    ("i/o error", UnavailableError, "The disk of the store {} failed.", "Check the disk and its free space."),
    ("unable to open", UnavailableError, "The store {} cannot be opened.", "Check the path and its permissions."),
    ("locked", UnavailableError, "The store {} is busy with another writer.", "Try again in a moment."),
    ("not a database", ConflictError, "{} is not an SQLite database.", "Name another file in store_url."),
    ("malformed", ConflictError, "The store {} is damaged.", "Restore it from a backup, or move it away."),
)


def _translated(message: str, where: str) -> ClickwiseError | None:
    for sign, problem, what, advice in _FAILURES:
        if sign in message:
            return problem(what.format(where), advice)
    return None
