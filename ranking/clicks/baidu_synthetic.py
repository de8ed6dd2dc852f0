"""Files in the very layout of Baidu-ULTR with clicks whose cause is known: for tests, and where the data set is not at
hand (its download has been withdrawn).

Users are position-based: P(click) = examination of the rank * attraction of the document. The examination curve is
the one that Hager et al. (SIGIR 2024) found on the first parts of the data set by intervention harvesting.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.clicks.formats.baidu import COLUMNS, MISSING_TITLE, OTHERS_SEARCHED, text_id, tokens

EXAMINATION: Final = (1.0, 0.674, 0.414, 0.293, 0.208, 0.171, 0.136, 0.117, 0.084, 0.058)
_FIRST_WORD, _WORDS = 22, 21_000  # token ids that words have; the rare title of a missing document is left to chance


@dataclass(frozen=True, slots=True)
class Oddities:
    """How often the files have what real ones have, as probabilities per query, or per document row."""

    two_columns: float = 0.1
    shared_number: float = 0.08
    others_searched: float = 0.05
    missing_title: float = 0.02
    no_media_type: float = 0.1


@dataclass(eq=False)
class Synthetic:
    """A world of queries and documents. The same arguments make the same files.

    `attraction` (queries, documents) is the probability of a click where the document is examined, `grade` its
    annotation; `query` and `document` hold their names as a log that was read has them.
    """

    queries: int = 100
    documents: int = 20
    seed: int = 0
    oddities: Oddities = field(default_factory=Oddities)
    examination: npt.NDArray[np.float64] = field(default_factory=lambda: np.array(EXAMINATION))

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 0])
        self._words = [_text(rng, 3) for _ in range(self.queries)]
        self._titles = [[_text(rng, 6) for _ in range(self.documents)] for _ in range(self.queries)]
        self._abstracts = [[_text(rng, 12) for _ in range(self.documents)] for _ in range(self.queries)]
        self.grade = rng.binomial(4, rng.beta(1.0, 2.0, (self.queries, self.documents)))
        self.attraction = 0.05 + 0.2 * self.grade
        self._bucket = rng.integers(0, 10, self.queries)
        share = rng.random(self.queries) < self.oddities.shared_number
        self._number = np.where(share, np.arange(self.queries) // 2, np.arange(self.queries))
        weight = 1.0 / np.arange(1, self.queries + 1)
        self._popularity = weight / weight.sum()
        self.query = [tokens(words) for words in self._words]
        self.document = [
            [text_id(title, abstract) for title, abstract in zip(titles, abstracts, strict=True)]
            for titles, abstracts in zip(self._titles, self._abstracts, strict=True)
        ]

    def write_sessions(self, path: Path, sessions: int, part: int = 0) -> None:
        """One part of the log: gzip where the name ends in .gz."""
        rng = np.random.default_rng([self.seed, 1, part])
        with gzip.open(path, "wb", 6) if path.suffix == ".gz" else path.open("wb") as file:
            for query in rng.choice(self.queries, sessions, p=self._popularity):
                file.write(b"".join(self._page(rng, int(query))))

    def write_annotations(self, path: Path) -> None:
        """The judgements of all pairs."""
        with path.open("wb") as file:
            for query in range(self.queries):
                head = str(self._number[query]).encode(), self._words[query]
                for title, abstract, grade in zip(
                    self._titles[query], self._abstracts[query], self.grade[query].tolist(), strict=True
                ):
                    row = (*head, title, abstract, str(grade).encode(), str(self._bucket[query]).encode())
                    file.write(b"\t".join(row) + b"\n")

    def _page(self, rng: np.random.Generator, query: int) -> Iterator[bytes]:
        odd = self.oddities
        head = [str(self._number[query]).encode(), self._words[query]]
        yield b"\t".join(head if rng.random() < odd.two_columns else [*head, _text(rng, 3)]) + b"\n"
        # A ranker that is right more often than not, and that shows documents at several ranks.
        noisy = self.attraction[query] + rng.gumbel(0, 0.25, self.documents)
        order = np.argsort(-noisy)[: len(self.examination)]
        clicked = rng.random(len(order)) < self.examination[: len(order)] * self.attraction[query][order]
        last = int(np.flatnonzero(clicked)[-1]) if clicked.any() else -1
        for place, document in enumerate(order.tolist()):
            if rng.random() < odd.others_searched:
                yield _row({0: b"0", 2: OTHERS_SEARCHED, 3: b""})
            media = b"-" if rng.random() < odd.no_media_type else str(rng.integers(1, 30)).encode()
            click = str(int(clicked[place])).encode()
            missing = rng.random() < odd.missing_title
            ended = str(int(place == last)).encode()
            dwell = rng.gamma(2.0, 20.0) if clicked[place] else 0.0
            yield _row(
                {
                    0: str(place + 1).encode(),
                    1: f"{query * self.documents + document:032x}".encode(),
                    2: MISSING_TITLE if missing else self._titles[query][document],
                    3: self._abstracts[query][document],
                    4: media,
                    5: click,
                    9: str(rng.integers(60, 400)).encode(),
                    10: f"{rng.gamma(2.0, 2.0):.3f}".encode(),
                    16: f"{dwell:.3f}".encode(),
                    23: ended,
                    25: click,
                    28: ended,
                }
            )


def _text(rng: np.random.Generator, longest: int) -> bytes:
    """Two words or more, as no real text of one word is told from a missing one."""
    words = _FIRST_WORD + rng.integers(0, _WORDS, 2 + int(rng.integers(0, longest)))
    return b"\x01".join(str(word).encode() for word in words)


def _row(cells: dict[int, bytes]) -> bytes:
    return b"\t".join(cells.get(place, b"0") for place in range(COLUMNS)) + b"\n"
