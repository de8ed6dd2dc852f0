"""From a source to its documents: finds the files, reads their records, checks them, and counts what is bad."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from index.errors import InputError, NotFoundError, RecordError
from index.readers import irds
from index.readers.files import File
from index.readers.layout import Layout
from index.readers.records import BadRecord, Broken, Fault, Record
from index.readers.registry import Format, find_files, format_named
from index.readers.seen import SeenIds
from index.types import Document

OnError = Literal["stop", "skip"]
KEPT_ERRORS: Final = 10


@dataclass(slots=True)
class ReadReport:
    """What a reading found so far. It grows while the documents are read.

    `skipped` counts the bad records, `duplicates` those among them whose id had come before (the first document of an
    id stays), `mended` the documents whose text had characters replaced. `errors` are the first ten bad records;
    `on_bad` is called with every one that is skipped.
    """

    read: int = 0
    skipped: int = 0
    duplicates: int = 0
    mended: int = 0
    errors: list[RecordError] = field(default_factory=list)
    on_bad: Callable[[RecordError], None] | None = None


def read_documents(
    source: str | Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    report: ReadReport | None = None,
) -> Iterator[Document]:
    """The documents of a file, a folder or an ir_datasets id (`irds:NAME`), one after the other.

    Formats go by the file's ending, `.gz` and `.zst` taken off, or by `format`; `columns` says what the columns are
    (`index.readers.layout` has both the mapping and the rules for records). Memory is bounded but for some tens of
    bytes per document, which find the duplicate ids.

    A bad record, a duplicate id or a file that breaks off raises RecordError; with `on_error="skip"` it is counted in
    the report and the reading goes on, a broken file with the next one. Raised at the call, before any document:
    NotFoundError for a missing source, InputError for an unknown format, ending or mapping, UnavailableError for an
    ir_datasets id without that package. A table without the columns needed raises InputError when it is reached.
    """
    if on_error not in ("stop", "skip"):
        raise InputError(f"There is no way {on_error} to treat bad records.", "Choose stop or skip.")
    layout = Layout(columns)
    found = _records(source, format, layout)
    return _documents(found, layout, on_error == "skip", ReadReport() if report is None else report)


def _records(source: str | Path, format: str | None, layout: Layout) -> Iterator[tuple[str, Record | Fault]]:
    """Records with the name of what they are in. Errors of the source itself are raised at once."""
    name = str(source)
    if format == "irds" or (isinstance(source, str) and source.startswith(irds.PREFIX)):
        name = name.removeprefix(irds.PREFIX)
        dataset = irds.open_dataset(name)
        return ((irds.PREFIX + name, record) for record in irds.read(dataset, name, layout))
    if not name:
        raise NotFoundError("No file or folder is named.", "Name where the documents are.")
    root = Path(source)
    files = find_files(root, format_named(format) if format else None)
    return ((str(path), record) for path, found in files for record in _file_records(path, root, found, layout))


def _file_records(path: Path, root: Path, format: Format, layout: Layout) -> Iterator[Record | Fault]:
    file = File(path, path.relative_to(root).as_posix() if path != root else "")
    try:
        yield from format.read(file, layout)
    except (Broken, EOFError, OSError, zlib.error) as error:
        yield Fault(file.line + 1, f"the file breaks off here: {error}".rstrip("."))
    finally:
        file.close()


def _documents(
    records: Iterator[tuple[str, Record | Fault]], layout: Layout, skip: bool, report: ReadReport
) -> Iterator[Document]:
    seen = SeenIds()
    for path, record in records:
        try:
            if isinstance(record, Fault):
                raise BadRecord(record.reason)
            document, mended = layout.document(record.values)
            if not seen.add(document.id):
                report.duplicates += skip
                raise BadRecord(f"the id {document.id} occurs a second time")
        except BadRecord as bad:
            error = RecordError(path, record.line, str(bad))
            if not skip:
                raise error from None
            report.skipped += 1
            if len(report.errors) < KEPT_ERRORS:
                report.errors.append(error)
            if report.on_bad is not None:
                report.on_bad(error)
            continue
        report.read += 1
        report.mended += mended
        yield document
