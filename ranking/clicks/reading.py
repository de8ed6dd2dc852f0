"""Click logs of other systems as pages, one format a module in `ranking.clicks.formats`."""

from __future__ import annotations

import importlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import pyarrow as pa

from index.errors import InputError, NotFoundError, RecordError
from index.readers.files import MAX_LINE, File
from index.readers.records import Broken
from ranking.clicks.pages import Page, Pages

KEPT_ERRORS: Final = 10
BROKEN: Final = "files that break off"
BATCH: Final = 4096
FORMATS: Final = {
    "parquet": "a Clickwise log in any order, or tables with one row per document shown; also CSV",
    "ubi": "OpenSearch User Behavior Insights 1.3, as ndjson or JSON",
    "yandex": "the relevance prediction form: query<TAB>documents : clicks; …",
    "baidu": "Baidu-ULTR sessions, gzip or plain",
}
"""Format -> what it is; each is the module of that name, with a function `read`."""
OnError = Literal["stop", "skip"]


@dataclass(slots=True)
class ReadReport:
    """What a reading found so far.

    `skipped` counts bad records, and `errors` are the first ten of them. `counts` holds what the format counts besides,
    by a short description, and `notes` what was found out about the log, such as the base of its ranks.
    """

    pages: int = 0
    events: int = 0
    skipped: int = 0
    errors: list[RecordError] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


class Reading:
    """One reading in progress: the way in which a format reports what is bad."""

    def __init__(self, on_error: OnError, report: ReadReport, options: dict[str, Any]) -> None:
        self.report = report
        self.options = options
        self._stop = on_error == "stop"

    def bad(self, path: Path, line: int, reason: str) -> None:
        """A record that is not usable: RecordError, or counted where bad records are skipped."""
        error = RecordError(str(path), line, reason)
        if self._stop:
            raise error
        self.report.skipped += 1
        if len(self.report.errors) < KEPT_ERRORS:
            self.report.errors.append(error)

    def count(self, what: str, times: int = 1) -> None:
        if times:
            self.report.counts[what] += times

    def note(self, text: str) -> None:
        self.report.notes.append(text)

    def chunks(self, file: File, size: int = 2**20) -> Iterator[bytes]:
        """The bytes of a file, decompressed; a file that breaks off ends, and is a bad record."""
        try:
            while block := file.stream.read1(size):  # type: ignore[attr-defined]
                yield block
        except (Broken, EOFError, OSError, zlib.error, pa.ArrowException) as error:
            self.count(BROKEN)
            self.bad(file.path, file.line + 1, f"the file breaks off here: {error}".rstrip("."))

    def lines(self, file: File) -> Iterator[bytes]:
        """The lines of a file without their ends; `file.line` counts them. A last line that breaks off is left out."""
        broken, rest = self.report.counts[BROKEN], b""
        for block in self.chunks(file):
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                file.line += 1
                yield line
            if len(rest) > MAX_LINE:
                self.bad(file.path, file.line + 1, f"the line is longer than {MAX_LINE // 2**20} MiB")
                return
        if rest and self.report.counts[BROKEN] == broken:
            file.line += 1
            yield rest


class Format(Protocol):
    def read(self, files: list[Path], reading: Reading) -> Iterator[Page | Pages]: ...


def read_log(
    source: str | Path,
    format: str | None = None,
    *,
    on_error: OnError = "skip",
    report: ReadReport | None = None,
    **options: Any,
) -> Iterator[Pages]:
    """The pages of a file, or of all files of a folder, in batches.

    Without a `format` it is guessed from the first file. A bad record is counted in the report, or raises RecordError
    with `on_error="stop"`: the opposite usual value of `read_documents`, for logs of any size have bad records. Options
    go to the format; its module says which. Raises NotFoundError for a missing source, InputError for an unknown format
    or option and, at the end, for a source in which no page was found.
    """
    files = _files(Path(source))
    name = format or guess(files[0])
    if name not in FORMATS:
        raise InputError(f"There is no format {name} of click logs.", f"Choose one of {', '.join(FORMATS)}.")
    if on_error not in ("stop", "skip"):
        raise InputError(f"There is no way {on_error} to treat bad records.", "Choose stop or skip.")
    found = ReadReport() if report is None else report
    reading = Reading(on_error, found, {key: value for key, value in options.items() if value is not None})
    module = importlib.import_module(f"ranking.clicks.formats.{name}")
    for option in reading.options:
        if option not in module.OPTIONS:
            known = ", ".join(module.OPTIONS) or "none"
            raise InputError(f"The format {name} has no option {option}.", f"Its options: {known}.")
    return _counted(module.read(files, reading), found, Path(source), name)


def guess(path: Path) -> str:
    """The format of a file by its ending and its first bytes. Raises InputError where neither tells."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith((".parquet", ".pq", ".csv", ".tsv")):
        return "parquet"
    if name.endswith((".json", ".jsonl", ".ndjson")):
        return "ubi"
    file = File(path)
    try:
        head = file.stream.read(4096)
    except (Broken, EOFError, OSError, zlib.error):
        head = b""
    finally:
        file.close()
    first = head.split(b"\n", 1)[0]
    if b"\x01" in head or (first.count(b"\t") in (1, 2) and b":" not in first):
        return "baidu"
    if b"\t" in first and b" :" in first:
        return "yandex"
    raise InputError(f"{path} does not tell its format.", f"Name it with --format: {', '.join(FORMATS)}.")


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise NotFoundError(f"There is no file or folder {source}.", "Name where the click log is.")
    files = sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(source).parts)
    )
    if not files:
        raise NotFoundError(f"The folder {source} has no files.", "Name where the click log is.")
    return files


def _counted(items: Iterable[Page | Pages], report: ReadReport, source: Path, format: str) -> Iterator[Pages]:
    for pages in _batched(items):
        report.pages += len(pages)
        report.events += pages.events.num_rows
        yield pages
    if report.pages == 0:
        why = f" The first bad record: {report.errors[0].message}" if report.errors else ""
        raise InputError(
            f"{source} has no page that can be read as {format}.{why}", "Check the format, or name another one."
        )


def _batched(items: Iterable[Page | Pages]) -> Iterator[Pages]:
    rows: list[Page] = []
    for item in items:
        if isinstance(item, Page):
            rows.append(item)
            if len(rows) == BATCH:
                yield Pages.of(rows)
                rows = []
        else:
            yield item
    if rows:
        yield Pages.of(rows)
