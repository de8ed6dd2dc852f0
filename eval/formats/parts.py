"""What every way of reading a collection gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from eval.topics import Topic
from index.types import Document


@dataclass(frozen=True)
class Parts:
    """What a collection is made of, as it was read.

    `documents` reads them and counts what it leaves out; `corpus` is a hash of them, or of where they are.
    """

    topics: Mapping[str, Topic]
    qrels: Mapping[str, Mapping[str, int]]
    documents: Callable[[Counter[str]], Iterator[Document]]
    corpus: str
