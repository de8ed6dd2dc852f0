"""A collection on the bench: its index and its episodes, from the cache or made now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.collections import Collection
from eval.config import Experiment, IndexSpec
from eval.digests import EPISODES, RANKING, code_digest, digest_of
from eval.episodes import Episodes, make_episodes, without
from eval.rankers import Taught
from eval.store import Store
from eval.teaching import taught_index
from index.errors import InputError, NotFoundError
from index.generations import generation_path, read_current
from index.learned import stored_digest
from index.manifest import Manifest
from index.progress import Progress, track
from index.types import Query
from ranking.config import specs_with
from ranking.contract import Request
from ranking.options import unknown
from ranking.pipeline import Pipeline, PipelineSpec

if TYPE_CHECKING:
    from index.encoder import Encoder
    from index.index import Index

FORMAT = 1  # of what the cache holds: raise it when that changes its meaning


class Bench:
    """One collection of an experiment.

    Opens the index, and with it Java and the model, only where the cache lacks something. `encoder` replaces the one
    that the experiment names.
    """

    def __init__(
        self, collection: Collection, experiment: Experiment, store: Store, encoder: Encoder | None = None
    ) -> None:
        self.collection, self.experiment, self.store = collection, experiment, store
        self.protocol = experiment.protocol
        self._encoder = encoder
        self.path = store.index(collection.name, digest_of([collection.corpus, asdict(experiment.index)]))
        self.learned: Mapping[str, Any] = {}  # how learning came out, on an index that was taught
        self._taught: dict[Taught, Bench] = {}

    def build(self) -> None:
        """Build the index unless there is one of these documents with these options."""
        try:
            read_current(self.path)
        except NotFoundError:
            excluded: Counter[str] = Counter()
            total = sum(1 for _ in track(self.collection.documents(excluded), f"Reading {self.collection.name}"))
            self.store.write(self._reading, dict(excluded))
            build_index_of(self.collection, self.experiment.index, self.path, self._encoder, total)

    @property
    def _reading(self) -> str:
        return digest_of(["what was left out", self.path.name])

    @property
    def excluded(self) -> Counter[str]:
        """What was left out of the collection's files, by reason."""
        return self.collection.excluded + Counter(self.store.read(self._reading) or {})

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest.load(generation_path(self.path, read_current(self.path).generation))

    @cached_property
    def index(self) -> Index:
        return self.open(self.path)

    def open(self, path: Path) -> Index:
        from index.index import Index

        return Index.open(path, encoder=self._encoder)

    def taught(self, taught: Taught | None) -> Bench:
        """This collection on an index that has learned from what a seed gives to learn from; None is this bench."""
        if taught is None:
            return self
        if taught not in self._taught:
            bench = Bench(self.collection, self.experiment, self.store, self._encoder)
            bench.path, bench.learned = taught_index(self, taught)
            self._taught[taught] = bench
        return self._taught[taught]

    @cached_property
    def state(self) -> str:
        """A hash of what every ranking of this collection depends on, beside its ranker: documents, index, code."""
        made = self.manifest
        learned = stored_digest(generation_path(self.path, read_current(self.path).generation))
        encoder = made.encoder.checksum if made.encoder else ""
        return digest_of([FORMAT, self.collection.corpus, made.created, encoder, learned, code_digest(RANKING)])

    @cached_property
    def episodes(self) -> Episodes:
        """The topics under the protocol. Raises InputError where none is left."""
        user = self.experiment.user
        choices = [asdict(self.protocol), type(user).__name__, asdict(user), asdict(self.collection.spec)]  # type: ignore[call-overload]
        given = [self.collection.judgements, self.first.digest]
        digest = digest_of([self.state, code_digest(EPISODES), given, choices])
        stored = self.store.read(digest)
        if stored is not None:
            return Episodes.from_json(stored)
        episodes = self._find_episodes()
        self.store.write(digest, episodes.to_json())
        return episodes

    @property
    def first(self) -> PipelineSpec:
        """The pipeline of the protocol's first ranking."""
        specs = specs_with(self.experiment.pipelines, "the experiment")
        if self.protocol.first not in specs:
            raise unknown("pipeline", self.protocol.first, specs, "The first ranking of the protocol")
        return specs[self.protocol.first]

    def _find_episodes(self) -> Episodes:
        view = self.index.view()
        if not view.documents:
            raise InputError(f"The collection {self.collection.name!r} has no documents.", "Check its files.")
        unknown = {
            topic: absent
            for topic, judged in self.collection.qrels.items()
            if (absent := [doc for doc in judged if doc not in view.lexical])
        }
        queries = {topic: self.query(topic) for topic in self.collection.topics}
        first = Pipeline(self.first, self.index)
        requests = [Request(Query(topic, text), limit=self.protocol.depth) for topic, text in queries.items()]
        firsts = dict(zip(queries, first.rank(requests), strict=True))
        return make_episodes(self.collection, self.protocol, self.experiment.user, queries, firsts, unknown)

    def query(self, topic: str) -> str:
        """The text to search with: a part of the topic, or the title of the document that the topic names."""
        asked = self.collection.topics[topic]
        text = asked.query(self.collection.spec.query)
        if text or not asked.document:
            return text
        document = self.index.view().lexical.document(asked.document)
        return document.title if document else ""

    def judged(self, topic: str) -> Mapping[str, int]:
        """The judgements of a topic, less those of documents that do not exist."""
        return without(self.collection.qrels[topic], self.episodes.unknown.get(topic, ()))


def build_index_of(
    collection: Collection, options: IndexSpec, path: Path, encoder: Encoder | None = None, total: int | None = None
) -> None:
    """Index the documents of a collection, `total` of them. `encoder` replaces the one that the options name."""
    from index.build import BuildOptions, build_index
    from index.encoder import load_encoder

    if encoder is None and options.encoder != "none":
        encoder = load_encoder(options.encoder)
    chosen = BuildOptions(
        analyzer=options.analyzer,
        layout=options.layout,
        k1=options.k1,
        b=options.b,
        conditioning=options.conditioning,
        source=collection.spec.source or collection.spec.documents,
    )
    with Progress(f"Indexing {collection.name}", total) as progress:
        build_index(path, collection.documents(Counter()), chosen, encoder=encoder, on_progress=progress.advance)
