"""A click log on disk: a directory of Parquet files, written in a stream and read in a stream.

    LOG/impressions/part-00000000-1f3a5c7e.parquet
    LOG/events/part-00000000-1f3a5c7e.parquet      the events of exactly those pages, in the order of the pages

A log that `LogWriter` wrote says so in its files, and is read by merging the two. Any other log with these columns, its
rows in whatever order, is read by way of a partition on disk. Neither ever has to fit into memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from index.errors import ConflictError, InputError, NotFoundError, UnavailableError
from index.places import check_folder
from index.vectors import sync
from ranking.clicks.joining import Joining, joined_pages, merged, read_rows
from ranking.clicks.pages import Page, Pages
from ranking.clicks.schema import EVENTS, IMPRESSIONS
from ranking.clicks.spill import Stream, together

__all__ = ["BATCH", "ClickLog", "Joining", "LogWriter"]

BATCH: Final = 32_768
"""Pages that are read at a time."""
GROUP: Final = 65_536
"""Pages of one row group: what a writer holds in memory."""
PART: Final = 4_194_304
"""Pages of one file."""
_TABLES: Final = {"impressions": IMPRESSIONS, "events": EVENTS}
_ALIGNED: Final = {b"clickwise.order": b"aligned"}  # in the schema of a file: its events come in the order of its pages


@dataclass(frozen=True, slots=True)
class ClickLog:
    """A click log that is there to be read."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> ClickLog:
        """The log at a path. Raises NotFoundError where there is none, InputError where its files are not usable."""
        log = cls(Path(path))
        if not log.files("impressions"):
            raise NotFoundError(f"There is no click log at {path}.", "Make one with 'clickwise clicks convert'.")
        for table in _TABLES:
            for file in log.files(table):
                _check(file, table)
        return log

    @classmethod
    def write(cls, path: str | Path, pages: Iterable[Pages | Page], *, append: bool = False) -> ClickLog:
        """Write pages to a new log, or `append` them to one. Errors: see `LogWriter`."""
        with LogWriter(path, append=append) as writer:
            for item in pages:
                writer.add(item)
        return cls.open(path)

    def files(self, table: str) -> list[Path]:
        """The Parquet files of `impressions` or of `events`, in their order."""
        return sorted(path for path in (self.path / table).glob("*.parquet") if not path.name.startswith("."))

    def count(self, table: str) -> int:
        """The number of rows of `impressions` or of `events`; reads the files' footers only."""
        return sum(int(pq.read_metadata(file).num_rows) for file in self.files(table))

    @property
    def aligned(self) -> bool:
        """Whether events lie in the order of their pages, as `LogWriter` puts them."""
        impressions, events = self.files("impressions"), {file.name for file in self.files("events")}
        return all(file.name in events and _is_aligned(file) for file in impressions)

    def pages(self, batch: int = BATCH, *, joining: Joining | None = None, partition: bool = False) -> Iterator[Pages]:
        """The pages with their events, at most `batch` at a time.

        An aligned log comes in its order. Any other, and every one with `partition`, comes in an order by hash, and
        what does not fit together is left out and counted in `joining`: events without a page, pages of one id.
        Raises InputError for a file that cannot be read, ConflictError for one that claims to be aligned and is not.
        """
        report = Joining() if joining is None else joining
        with _reading(self.path):
            if self.aligned and not partition:
                for file in self.files("impressions"):
                    yield from merged(file, self.path / "events" / file.name, batch)
                return
            streams = [Stream(schema, self.rows(table, batch)) for table, schema in _TABLES.items()]
            for impressions, events in together(streams, "query_id"):
                yield from joined_pages(impressions, events, report).slices(batch)

    def column(self, name: str) -> Iterator[Any]:
        """One column of the impressions, as record batches of it alone, in their order."""
        with _reading(self.path):
            for file in self.files("impressions"):
                yield from read_rows(file, pa.schema([IMPRESSIONS.field(name)]), BATCH)

    def rows(self, table: str, batch: int = BATCH) -> Iterator[Any]:
        """The rows of `impressions` or of `events` as record batches in its schema, in the order of the files."""
        with _reading(self.path):
            for file in self.files(table):
                yield from read_rows(file, _TABLES[table], batch)


class LogWriter:
    """Writes pages to a log; a context manager. What it wrote becomes visible at its end, all of it or nothing.

    Raises, at the call, ConflictError where there is a log already and `append` is not set, and InputError for a file;
    later, UnavailableError where the folder cannot be written.
    """

    def __init__(self, path: str | Path, *, append: bool = False, group: int = GROUP, part: int = PART) -> None:
        self.path = check_folder(Path(path))
        self.written = 0  # pages
        log = ClickLog(self.path)
        if not append and any(log.files(table) for table in _TABLES):
            raise ConflictError(
                f"There is a click log at {path} already.", "Name another folder, or add to this one with --append."
            )
        self._group, self._part, self._part_rows = group, part, 0
        self._number = len(log.files("impressions"))
        self._held: list[Pages] = []
        self._held_rows = 0
        self._rows: list[Page] = []
        self._open: dict[str, Any] = {}
        self._parts: list[str] = []

    def add(self, item: Pages | Page) -> None:
        """One more page, or many."""
        if isinstance(item, Page):
            self._rows.append(item)
            if len(self._rows) >= min(self._group, 4096):
                self._add_rows()
        else:
            self._add_rows()
            for pages in item.slices(self._group):
                self._add(pages)

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._add_rows()
                self._flush()
                self._close()
                self._publish()
        finally:
            # What failed is told already; cleaning up after it is best effort.
            for writer in self._open.values():
                with suppress(OSError):
                    writer.close()
            for name in self._parts:
                for table in _TABLES:
                    with suppress(OSError):
                        self._hidden(table, name).unlink(missing_ok=True)

    def _add_rows(self) -> None:
        if self._rows:
            self._add(Pages.of(self._rows))
            self._rows = []

    def _add(self, pages: Pages) -> None:
        self._held.append(pages)
        self._held_rows += len(pages)
        if self._held_rows >= self._group:
            self._flush()

    def _flush(self) -> None:
        """Write what is held as one row group."""
        if not self._held:
            return
        with _writing(self.path):
            writers = self._open or self._begin()
            for table, schema in _TABLES.items():
                batches = [getattr(pages, table) for pages in self._held]
                writers[table].write_table(pa.Table.from_batches(batches, schema))
        self.written += self._held_rows
        self._part_rows += self._held_rows
        self._held, self._held_rows = [], 0
        if self._part_rows >= self._part:
            self._close()

    def _begin(self) -> dict[str, Any]:
        # The random end keeps two writers that append at the same time from taking one name.
        name = f"part-{self._number:08d}-{secrets.token_hex(4)}.parquet"
        self._number, self._part_rows = self._number + 1, 0
        self._parts.append(name)
        for table, schema in _TABLES.items():
            (self.path / table).mkdir(parents=True, exist_ok=True)
            self._open[table] = pq.ParquetWriter(
                self._hidden(table, name), schema.with_metadata(_ALIGNED), compression="zstd"
            )
        return self._open

    def _close(self) -> None:
        with _writing(self.path):
            for writer in self._open.values():
                writer.close()
        self._open = {}

    def _publish(self) -> None:
        # Events first: pages that are visible have theirs. Events of pages that never came are never looked at.
        if not self._parts:
            self._begin()  # a log without pages is a log
            self._close()
        for table in reversed(_TABLES):
            for name in self._parts:
                hidden = self._hidden(table, name)
                sync(hidden)
                hidden.rename(self.path / table / name)
            sync(self.path / table)
        self._parts = []

    def _hidden(self, table: str, name: str) -> Path:
        return self.path / table / f".{name}.writing"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UnavailableError(
            f"The click log {path} cannot be written: {reason}.", "Check the folder's permissions and the free space."
        ) from error


def _check(file: Path, table: str) -> None:
    with _reading(file):
        names = set(pq.read_schema(file).names)
    missing = [field.name for field in _TABLES[table] if not field.nullable and field.name not in names]
    if missing:
        raise InputError(
            f"{file} has no column {', '.join(missing)}.",
            "If it is a log of another layout, convert it with 'clickwise clicks convert'.",
        )


def _is_aligned(file: Path) -> bool:
    metadata = pq.read_schema(file).metadata or {}
    return all(metadata.get(key) == value for key, value in _ALIGNED.items())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as a click log: {reason}.", "Write it again.") from error
