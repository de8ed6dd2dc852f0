"""Test collections: documents, topics and judgements, wherever they come from.

An experiment names a collection by its `source`: a folder in BEIR layout, `irds:ID` of the package ir_datasets, or
`pydocs`, our own. Or by its three files, each in its own format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from eval.digests import digest_of, files_digest
from eval.formats import argsme, beir, cord19, irds, pydocs, trec, wapo
from eval.formats.parts import Parts
from eval.measures import Qrels
from eval.topics import QueryField, Topic
from index.errors import InputError, NotFoundError
from index.readers import ReadReport, read_documents
from index.readers.irds import PREFIX
from index.readers.lines import read_lines
from index.types import Document
from ranking.options import number
from ranking.qrels import read_qrels

Reader: TypeAlias = Callable[[Path, Counter[str]], Iterator[Document]]
READERS: Mapping[str, Reader] = {
    "cord19": cord19.read_documents,
    "cord19-full": lambda path, excluded: cord19.read_documents(path, excluded, full_text=True),
    "wapo": wapo.read_documents,
    "args.me": argsme.read_documents,
}
"""Formats of documents that test collections come in, beside those that an index reads (`index.readers`)."""


@dataclass(frozen=True)
class CollectionSpec:
    """Where a collection is, as a configuration says it.

    source: a BEIR folder, `irds:ID`, or `pydocs`; empty where documents, topics and qrels are named.
    documents, format: a file or folder, and its format where the ending does not tell it (`READERS`, `index.readers`).
    topics: a file of TREC topics, of BEIR's JSON lines, or of id, tab, text.
    qrels: a file; of a BEIR folder, the name of the split.
    teach: of a BEIR folder, the name of a further split of judgements, for rankers that learn and for nothing else;
    without it they learn from the training topics. Topics that are in `qrels` too teach nothing.
    query: which part of a topic is searched with.
    relevant: the least grade that is relevant. not_relevant: the highest grade that a judged document can have and
    serve as non-relevant feedback; grades between the two are neither.
    skip_query_document: leave a document out whose id is the topic's, as BEIR does for some collections.
    on_error: what to do about a bad record among the documents.
    """

    source: str = ""
    documents: str = ""
    format: str = ""
    topics: str = ""
    qrels: str = ""
    teach: str = ""
    query: QueryField = "title"
    relevant: int = number(1, low=1)
    not_relevant: int = number(0, low=0)
    skip_query_document: bool = False
    on_error: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        three = (self.documents, self.topics, self.qrels)
        if self.source and (self.documents or self.topics):
            raise InputError("A collection has a source and files of its own.", "Give one of the two.")
        if not self.source and not all(three):
            raise InputError("A collection is incomplete.", "Give a source, or documents, topics and qrels.")
        if self.teach and (not self.source or self.source == "pydocs" or self.source.startswith(PREFIX)):
            raise InputError(
                "A split to teach is one of a BEIR folder.", "Give such a folder as source, or leave it out."
            )
        if self.not_relevant >= self.relevant:
            raise InputError("A grade cannot be relevant and not relevant.", "Set not_relevant below relevant.")


@dataclass(frozen=True)
class Judged:
    """Topics with their judgements."""

    topics: Mapping[str, Topic]
    qrels: Qrels


@dataclass(frozen=True)
class Collection:
    """A test collection.

    `documents` reads them anew at each call, and counts by reason those that it leaves out; `excluded` has the same for
    topics and judgements. `corpus` and `judgements` are hashes of the documents and of everything else. `taught` is
    what it gives to learn from.
    """

    name: str
    spec: CollectionSpec
    topics: Mapping[str, Topic]
    qrels: Qrels
    documents: Callable[[Counter[str]], Iterator[Document]]
    corpus: str
    excluded: Counter[str] = field(default_factory=Counter)
    taught: Judged | None = None

    @property
    def judgements(self) -> str:
        topics = [[t.id, t.title, t.description, t.narrative, t.document] for t in self.topics.values()]
        return digest_of([topics, {topic: dict(judged) for topic, judged in self.qrels.items()}])

    def judges_negatives(self, count: int = 1) -> bool:
        """Whether most topics have so many documents that were judged not relevant."""
        refused = [sum(grade <= self.spec.not_relevant for grade in judged.values()) for judged in self.qrels.values()]
        return 2 * sum(number >= count for number in refused) > len(refused)


def load_collection(name: str, spec: CollectionSpec, folder: Path) -> Collection:
    """Read topics and judgements; relative paths begin at `folder`.

    Judgements of unknown topics and topics without judgements are left out and counted. Raises NotFoundError where
    something is missing, InputError where it is not usable, UnavailableError where a package is.
    """
    excluded: Counter[str] = Counter()
    if spec.source.startswith(PREFIX):
        parts = irds.load(spec.source, excluded)
    elif spec.source == "pydocs":
        parts = pydocs.load(excluded)
    else:
        parts = _files(spec, folder, excluded)
    topics, qrels = _joined(parts.topics, parts.qrels, excluded)
    if not topics:
        raise InputError(f"No topic of the collection {name!r} has judgements.", "Check that topics and qrels fit.")
    taught = None
    if spec.teach:
        more = _files(replace(spec, qrels=spec.teach), folder, Counter())
        taught = Judged(*_joined(more.topics, more.qrels, Counter()))
    return Collection(name, spec, topics, qrels, parts.documents, parts.corpus, excluded, taught)


def _files(spec: CollectionSpec, folder: Path, excluded: Counter[str]) -> Parts:
    """A BEIR folder, or three files."""
    base = folder / spec.source
    if spec.source and not base.is_dir():
        raise NotFoundError(
            f"There is no collection folder {base}.", "Set CLICKWISE_DATA or --data, or leave the collection out."
        )
    documents = folder / spec.documents if spec.documents else base
    topics = folder / spec.topics if spec.topics else base / "queries.jsonl"
    qrels = base / "qrels" / f"{spec.qrels or 'test'}.tsv" if spec.source else folder / spec.qrels
    if not documents.exists():
        raise NotFoundError(f"There is no file or folder {documents}.", "Check the path of the documents.")

    def read(left_out: Counter[str]) -> Iterator[Document]:
        if spec.format in READERS:
            return READERS[spec.format](documents, left_out)
        return _counted(documents, spec, left_out)

    corpus = files_digest(documents, "corpus.jsonl*" if spec.source else "**/*")
    return Parts(_topics(topics), read_qrels(qrels, excluded), read, digest_of([corpus, spec.format]))


def _counted(documents: Path, spec: CollectionSpec, excluded: Counter[str]) -> Iterator[Document]:
    report = ReadReport()
    yield from read_documents(documents, format=spec.format or None, on_error=spec.on_error, report=report)
    if report.skipped:
        excluded["documents that could not be read"] += report.skipped


def _topics(path: Path) -> dict[str, Topic]:
    first = next((text for _, text in read_lines(path)), "").lstrip("\ufeff ")
    if first.startswith("<"):
        return trec.read_topics(path)
    return beir.read_queries(path) if first.startswith("{") else beir.read_tsv_queries(path)


def _joined(
    topics: Mapping[str, Topic], qrels: Qrels, excluded: Counter[str]
) -> tuple[dict[str, Topic], dict[str, Mapping[str, int]]]:
    """The topics that have judgements, and their judgements, in the order of the topics."""
    unknown = [topic for topic in qrels if topic not in topics]
    if unknown:
        excluded["judgements of topics that do not exist"] += sum(len(qrels[topic]) for topic in unknown)
    judged = {name: topic for name, topic in topics.items() if name in qrels}
    if len(judged) < len(topics):
        excluded["topics without judgements"] += len(topics) - len(judged)
    return judged, {name: qrels[name] for name in judged}
