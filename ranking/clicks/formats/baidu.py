"""Baidu-ULTR (Zou et al., "A large scale search dataset for unbiased learning to rank", NeurIPS 2022): the sessions.

Bytes, tab-separated, without a header, usually gzip. A query is a line of 2 or 3 columns, each of its documents a line
of 32; words are token ids, joined by byte 1. What needs care, and is treated as the clean-up of Hager et al. ("Unbiased
learning to rank meets reality", SIGIR 2024) does:

- The query's number is not unique: pages of one query are those of one text.
- A document is its title and abstract, not its address: the annotations have no addresses.
- The position column is not trusted: ranks are counted anew.
- A document without a title takes a rank and is left out; the row "what others searched" takes none.
- Queries with fewer than five documents are left out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from index.errors import InputError
from index.readers.files import File
from ranking.clicks.pages import Event, Page
from ranking.clicks.reading import BROKEN, Reading

OPTIONS: Final = ("min_documents", "document_id")
MIN_DOCUMENTS: Final = 5
COLUMNS: Final = 32
MISSING_TITLE: Final = b"21429"
OTHERS_SEARCHED: Final = b"\x01".join((b"3742", b"11492", b"12169", b"5061", b"16905"))
_MS: Final = 1000  # the times of the data set are taken as seconds


@dataclass(frozen=True, slots=True)
class Shown:
    """One document of a page with what was observed of it. Times are as in the data, sizes in pixels."""

    rank: int  # counted
    position: int | None  # as the data has it
    url: str  # md5
    title: bytes
    abstract: bytes
    media_type: int  # 0 for "-"
    click: bool
    last_click: bool  # the last click of the page
    final_click: bool  # the last click of the session
    clicks: int
    dwell: float | None
    displayed_time: float | None
    serp_height: float | None
    slipoffs_after_click: int

    @property
    def text_id(self) -> str:
        """The md5 of title and abstract, which names the document in the annotations, too."""
        return text_id(self.title, self.abstract)


@dataclass(frozen=True, slots=True)
class Asked:
    """One query line with its documents. `line` is where it is in its file."""

    line: int
    number: bytes
    query: bytes
    reformulation: bytes
    shown: tuple[Shown, ...]


def read(files: list[Path], reading: Reading) -> Iterator[Page]:
    """The pages, named after their file and line; the query is its token ids, separated by spaces.

    Options: `min_documents` (5); `document_id`, "text" or "url", what names a document.
    """
    least = int(reading.options.get("min_documents", MIN_DOCUMENTS))
    naming = reading.options.get("document_id", "text")
    if naming not in ("text", "url"):
        raise InputError(f"A document cannot be named by its {naming}.", "Choose text or url.")
    for path in files:
        for asked in queries(path, reading):
            if len(asked.shown) < least:
                reading.count(f"queries with fewer than {least} documents")
                continue
            yield _page(asked, f"{path.name}-{asked.line}", naming)


def queries(path: Path, reading: Reading) -> Iterator[Asked]:
    """The queries of a file with all that their rows hold. A query in which the file breaks off is left out."""
    file = File(path)
    draft: _Draft | None = None
    broken = reading.report.counts[BROKEN]
    try:
        for line in reading.lines(file):
            cells = line.rstrip(b"\r").split(b"\t")
            if len(cells) <= 3 and line.strip():
                if draft:
                    yield draft.done()
                draft = _begin(file, cells, reading)
            elif len(cells) == COLUMNS and draft:
                draft.add(cells, file, reading)
            elif line.strip():
                found = "a document without a query" if len(cells) == COLUMNS else f"{len(cells)} columns"
                reading.bad(path, file.line, f"{found} where a query (2 or 3) or a document ({COLUMNS}) is expected")
                if draft and len(cells) > 3:
                    draft.rank += 1  # whatever it was, it was on the page
        if draft and reading.report.counts[BROKEN] == broken:
            yield draft.done()
        elif draft:
            reading.count("pages that break off")
    finally:
        file.close()


def text_id(title: bytes, abstract: bytes) -> str:
    """The name of a document by its words: the md5 of title, byte 1, abstract."""
    return hashlib.md5(title + b"\x01" + abstract, usedforsecurity=False).hexdigest()


def tokens(words: bytes) -> str:
    """Token ids as text: separated by spaces, the empty ones left out."""
    return " ".join(word.decode("ascii", "replace") for word in words.split(b"\x01") if word.strip())


def _begin(file: File, cells: list[bytes], reading: Reading) -> _Draft | None:
    if len(cells) < 2 or not tokens(cells[1]):
        reading.bad(file.path, file.line, "a query line without the words of the query")
        return None
    if len(cells) == 2:
        reading.count("query lines of 2 columns")
    return _Draft(file.line, cells[0], cells[1], cells[2] if len(cells) == 3 else b"")


class _Draft:
    """A query whose documents are being read."""

    def __init__(self, line: int, number: bytes, query: bytes, reformulation: bytes) -> None:
        self._head = (line, number, query, reformulation)
        self._shown: list[Shown] = []
        self.rank = 0

    def done(self) -> Asked:
        return Asked(*self._head, tuple(self._shown))

    def add(self, cells: list[bytes], file: File, reading: Reading) -> None:
        """One more document row."""
        title = cells[2]
        if title == OTHERS_SEARCHED:
            reading.count('rows "what others searched"')
            return
        self.rank += 1
        if title == MISSING_TITLE:
            reading.count("documents without a title")
            reading.count("clicks on documents without a title", int(cells[5] == b"1"))
            return
        try:
            shown = _shown(cells, self.rank)
        except ValueError as error:
            reading.bad(file.path, file.line, f"a value is no number ({error})")
            return
        if shown.position != self.rank:
            reading.count("positions that differ from the count")
        self._shown.append(shown)


def _shown(cells: list[bytes], rank: int) -> Shown:
    """The columns by their places. Raises ValueError for text where a number belongs."""
    return Shown(
        rank=rank,
        position=_whole(cells[0]),
        url=cells[1].decode("ascii", "replace"),
        title=cells[2],
        abstract=cells[3],
        media_type=_whole(cells[4]) or 0,
        click=bool(_whole(cells[5])),
        displayed_time=_number(cells[10]),
        serp_height=_number(cells[9]),
        slipoffs_after_click=_whole(cells[15]) or 0,
        dwell=_number(cells[16]),
        final_click=bool(_whole(cells[23])),
        clicks=_whole(cells[25]) or 0,
        last_click=bool(_whole(cells[28])),
    )


def _whole(cell: bytes) -> int | None:
    """Raises ValueError for what is no finite number."""
    number = _number(cell)
    if number is not None and math.isinf(number):
        raise ValueError("not finite")
    return None if number is None else int(number)


def _number(cell: bytes) -> float | None:
    return None if cell.strip() in (b"", b"-") else float(cell)


def _page(asked: Asked, name: str, naming: Literal["text", "url"]) -> Page:
    events: list[Event] = []
    named = [shown.text_id if naming == "text" else shown.url for shown in asked.shown]
    for document, shown in zip(named, asked.shown, strict=True):
        if shown.click:
            dwell = None if shown.dwell is None else round(_MS * shown.dwell)
            events.append(Event(document, rank=shown.rank, dwell_ms=dwell))
        if shown.click and shown.last_click:
            events.append(Event(document, "last_click", rank=shown.rank))
    return Page(name, tokens(asked.query), named, [shown.rank for shown in asked.shown], events)
