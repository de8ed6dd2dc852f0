"""The service without HTTP: what every front door offers, and the tests drive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from index.errors import NotFoundError
from server.catalog import Catalog
from server.documents import Documents
from server.duels import experiments, interleaving
from server.events import Event
from server.memory import Tidying
from server.operate.operation import Operation
from server.patience import Patience
from server.releases import Kind, Release, Releases
from server.reranking import Reranking
from server.schemas import FeedbackAnswer, FeedbackRequest, SearchAnswer, SearchRequest
from server.schemas_catalog import ExperimentsAnswer, IndexesAnswer, InterleavingAnswer, PipelinesAnswer
from server.schemas_operation import ReleaseInfo, ReleasesAnswer
from server.search import Searching, about
from server.settings import Settings
from server.store import Store
from server.totals import Totals
from server.ubi import Ubi


class Service:
    """Searches, feedback and documents over a catalog of indexes and one store. Thread-safe."""

    def __init__(self, catalog: Catalog, store: Store, settings: Settings) -> None:
        self.catalog, self.store, self.settings = catalog, store, settings
        self.documents = Documents(catalog)
        self.ubi = Ubi(catalog, store)
        self.operation = Operation(catalog, store)
        self.releases = Releases(catalog, store, settings.click_model)
        self.reranking = Reranking(self.releases)
        self._totals, self._tidying = Totals(store), Tidying()
        self._searching = Searching(self.releases, store, settings)

    @classmethod
    def open(cls, settings: Settings) -> Service:
        """Open the indexes and the store of the settings. Errors: those of `Catalog.open` and `Store.open`."""
        return cls(
            Catalog.open(settings), Store.open(settings.store_address, pseudonym_days=settings.pseudonym_days), settings
        )

    def warm_up(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Load the models and rehearse, so that the first request is as fast as the others.

        Ends early when `stopping` says so. Raises UnavailableError where the store cannot be written.
        """
        self.store.rehearse()
        self.releases.look()
        self.releases.follow()
        for name, index in self.catalog.indexes.items():
            if stopping():
                return
            index.warm_up()
            self._searching.rehearse(name)
        self._tidying.start()

    def search(self, ask: SearchRequest, patience: Patience | None = None) -> SearchAnswer:
        """See `Searching.search`."""
        return self._searching.search(ask, patience)

    def feedback(self, ask: FeedbackRequest) -> FeedbackAnswer:
        """Record what a person did; durable on return, and known to the query's next round.

        Raises NotFoundError for an unknown query, or a document that neither the index nor any ranking of the query
        holds; ConflictError for an idempotency key that belongs to another event.
        """
        with about("query_id"):
            query = self.store.query(ask.query_id)
            _, index = self.catalog.index(query.index)
        if ask.document not in index.view().lexical and not self.store.ranked(query.id, ask.document):
            with about("document"):
                raise NotFoundError(
                    f"There is no document {ask.document!r} in the index {query.index!r}.", "Use the id of a hit."
                )
        event = Event(
            query_id=query.id,
            document=ask.document,
            kind=ask.kind,
            position=ask.position,
            dwell_ms=ask.dwell_ms,
            idempotency_key=ask.idempotency_key,
        )
        with about("idempotency_key"):
            event_id, duplicate = self.store.add_event(event)
        return FeedbackAnswer(event_id=event_id, query_id=query.id, duplicate=duplicate)

    def indexes(self) -> IndexesAnswer:
        return IndexesAnswer(indexes=self.catalog.index_infos())

    def pipelines(self) -> PipelinesAnswer:
        return PipelinesAnswer(pipelines=self.catalog.pipeline_infos())

    def activate(self, kind: Kind, name: str, target: str | None, share: float) -> ReleaseInfo:
        """See `Releases.activate`."""
        return _told(self.releases.activate(kind, name, target, share))

    def released(self) -> ReleasesAnswer:
        """What was activated and serves now."""
        return ReleasesAnswer(releases=[_told(release) for release in self.releases.current()])

    def experiments(self, confidence: float = 0.95) -> ExperimentsAnswer:
        """How traffic splits and canaries stand."""
        return experiments(self._totals, self.catalog.indexes, confidence)

    def interleaving(self, confidence: float = 0.95) -> InterleavingAnswer:
        """How the duels of pipelines stand."""
        return interleaving(self._totals, self.catalog.indexes, confidence)

    def close(self) -> None:
        self._tidying.close()
        self.releases.close()
        self._searching.close()
        self.catalog.close()
        self.store.close()


def _told(release: Release) -> ReleaseInfo:
    since = datetime.fromtimestamp(release.released_ms / 1000, UTC).isoformat(timespec="seconds")
    return ReleaseInfo(
        id=release.id,
        kind=release.kind,
        name=release.name,
        target=release.target,
        share=release.share,
        released=since,
    )
