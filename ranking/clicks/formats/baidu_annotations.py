"""The expert annotations of Baidu-ULTR: grades of documents for queries, with how frequent the query is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from index.readers.files import File
from ranking.clicks.formats.baidu import text_id, tokens
from ranking.clicks.reading import Reading

HIGHEST: Final = 4
BUCKETS: Final = 10


@dataclass(frozen=True, slots=True)
class Annotation:
    """One judged pair. `query` and `document` are named as the pages of the click log name them; `grade` is 0 to 4,
    `bucket` the decile of the query's monthly frequency, 0 the most frequent."""

    query: str
    document: str
    grade: int
    bucket: int

    @property
    def frequency(self) -> str:
        """high (buckets 0 to 2), mid (3 to 6) or tail (7 to 9), as the data set's authors report."""
        return "high" if self.bucket <= 2 else "mid" if self.bucket <= 6 else "tail"


def read_annotations(path: Path, reading: Reading) -> Iterator[Annotation]:
    """The rows of `annotation_data_0522.txt`: qid (some editions lack it), query, title, abstract, grade, bucket."""
    file = File(path)
    try:
        for line in reading.lines(file):
            cells = line.rstrip(b"\r").split(b"\t")
            if not line.strip():
                continue
            if len(cells) not in (5, 6):
                reading.bad(path, file.line, f"{len(cells)} columns where 5 or 6 are expected")
                continue
            query, title, abstract, grade, bucket = cells[-5:]
            if grade.strip() not in _texts(HIGHEST + 1) or bucket.strip() not in _texts(BUCKETS):
                reading.bad(path, file.line, "no grade from 0 to 4, or no bucket from 0 to 9")
                continue
            yield Annotation(tokens(query), text_id(title, abstract), int(grade), int(bucket))
    finally:
        file.close()


def _texts(numbers: int) -> set[bytes]:
    return {str(number).encode() for number in range(numbers)}
