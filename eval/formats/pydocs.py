"""pydocs: information needs over the documentation of the running Python, shipped with Clickwise (`eval/pydocs/`)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from importlib.resources import as_file, files

from eval.digests import digest_of, files_digest
from eval.formats import beir
from eval.formats.parts import Parts
from index.errors import NotFoundError
from index.types import Document
from ranking.qrels import read_qrels

TOPICS, QRELS = "topics.jsonl", "qrels.tsv"


def load(excluded: Counter[str]) -> Parts:
    """Topics and judgements as shipped; the documents are those of the running version.

    Judged documents that this version lacks are found, as for every collection, when the index is at hand. Raises
    NotFoundError where the files are not installed.
    """
    folder = files("eval") / "pydocs"
    if not (folder / TOPICS).is_file() or not (folder / QRELS).is_file():
        raise NotFoundError("This installation lacks the topics of pydocs.", "Install Clickwise again.")
    with as_file(folder / TOPICS) as topics, as_file(folder / QRELS) as qrels:
        parts = beir.read_queries(topics), read_qrels(qrels, excluded)
    return Parts(*parts, _documents, _corpus())


def _documents(excluded: Counter[str]) -> Iterator[Document]:
    from index.pydocs import python_documents

    return python_documents()


def _corpus() -> str:
    """The documents depend on this Python and on how they are read."""
    with as_file(files("index") / "pydocs") as reader:
        return digest_of([sys.version, files_digest(reader, "*.py")])
