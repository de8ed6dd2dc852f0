"""The form in which the Yandex relevance prediction challenge's clicks are shared: ids only, no times, no users.

    query<TAB>document,document,… : click , click; query<TAB>document,… :; …

One entry is one result page; entries end with `;`, and a line has any number of them. Clicks are in the order in which
they happened; one may repeat, or be on a document that the page does not show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from index.readers.files import File
from ranking.clicks.pages import Event, Page
from ranking.clicks.reading import BROKEN, Reading

OPTIONS: Final = ()
_LONGEST: Final = 2**20  # bytes of one entry


def read(files: list[Path], reading: Reading) -> Iterator[Page]:
    """The pages, named after their file and their place in it."""
    for path in files:
        number = 0
        for line, entry in _entries(path, reading):
            page = _page(entry, f"{path.name}-{number}")
            if isinstance(page, str):
                reading.bad(path, line, page)
                continue
            number += 1
            yield page


def _entries(path: Path, reading: Reading) -> Iterator[tuple[int, str]]:
    """The entries of a file, each with its line."""
    file, rest = File(path), b""
    broken = reading.report.counts[BROKEN]
    try:
        for block in reading.chunks(file):
            # A line end is the end of an entry, too: the last entry of a line may lack its semicolon.
            *whole, rest = (rest + block.replace(b"\n", b"\n;")).split(b";")
            for entry in whole:
                if entry.strip():
                    yield file.line + 1, entry.decode("utf-8", "replace").strip()
                file.line += entry.count(b"\n")
            if len(rest) > _LONGEST:
                reading.bad(path, file.line + 1, f"an entry is longer than {_LONGEST} bytes")
                return
        if rest.strip() and reading.report.counts[BROKEN] == broken:
            yield file.line + 1, rest.decode("utf-8", "replace").strip()
    finally:
        file.close()


def _page(entry: str, name: str) -> Page | str:
    """An entry as a page, or what is wrong with it."""
    query, tab, rest = entry.partition("\t")
    shown, colon, clicked = rest.partition(":")
    documents = [part.strip() for part in shown.split(",")]
    if not tab or not query.strip():
        return "an entry has no query before its tab"
    if not colon:
        return "an entry has no colon between its documents and its clicks"
    if not all(documents):
        return "an entry has a document without an id"
    rank = {document: place for place, document in reversed(list(enumerate(documents, 1)))}
    clicks = [part.strip() for part in clicked.split(",") if part.strip()]
    return Page(name, query.strip(), documents, events=[Event(click, rank=rank.get(click)) for click in clicks])
