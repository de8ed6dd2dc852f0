"""OpenSearch's User Behavior Insights (UBI) 1.3, taken in as it is sent: queries become impressions, clicks events.

A query is recorded with the documents that it says it showed (`query_response_hit_ids`); that is its one page. It gets
a `query_id` where it has none. Clicks join it by that. Other actions, `impression` among them, and clicks that name no
query or no document are counted and not kept: what was shown is known from the query. Sent again, a record is the same
record. The standard leaves open whether ordinals count from 0 or from 1: that is found out for each application from
all that it has sent, and said in the answer.

https://github.com/o19s/ubi/tree/main/schema/1.3.0
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from index.errors import ClickwiseError, ConflictError, InputError, NotFoundError
from index.types import Ranking
from ranking.clicks.formats.ubi import CLICKS
from ranking.clicks.formats.ubi_ranks import Ordinals
from server.catalog import Catalog
from server.events import Event
from server.faults import fault_reason, field_name
from server.problems import BulkError
from server.schemas import Body, DocumentId, ShortText, Text
from server.schemas_ubi import Rejected, UbiAnswer
from server.search import about
from server.store import Page, Round, Store, StoredQuery
from server.store.store import Asked
from server.ubi_bodies import records

MOST_TOLD: Final = 100
_Known = Annotated[ShortText | None, BeforeValidator(lambda value: None if value == "" else value)]
"""An id or a name; UBI lets those that are not known be empty."""


class _Record(Body):
    """Of a record only what we keep is looked at."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class _Personal(_Record):
    application: _Known = None
    client_id: _Known = None
    session_id: _Known = None
    user_id: _Known = None


class _Query(_Personal):
    user_query: Text
    query_id: _Known = None
    query_response_hit_ids: Annotated[list[DocumentId | int], Field(max_length=10_000)] = Field(default=[])
    query_attributes: dict[str, Any] = Field(default={})


class _Object(_Record):
    object_id: DocumentId | int


class _Position(_Record):
    ordinal: int | None = Field(default=None, ge=0, le=1_000_000)


class _Attributes(_Record):
    object: _Object
    position: _Position = _Position()
    dwell_time: float | None = Field(default=None, ge=0, le=1e9, description="seconds")


class _Event(_Personal):
    query_id: ShortText
    event_attributes: _Attributes


_QUERY, _EVENT = TypeAdapter(_Query), TypeAdapter(_Event)
_Shown: TypeAlias = tuple[StoredQuery, Mapping[str, int]]  # a query, and the rank of each document in what it showed
T = TypeVar("T")


class Ubi:
    """Thread-safe."""

    def __init__(self, catalog: Catalog, store: Store) -> None:
        self._catalog, self._store = catalog, store
        self._ordinals = Ordinals()
        self._lock = threading.Lock()

    def queries(self, body: bytes) -> UbiAnswer:
        """Record queries, those of a body together. Raises InputError for a body that is no JSON, BulkError where no
        record can be used."""
        counting, asked = _Counting(), list[tuple[int, Asked]]()
        for number, record in records(body):
            with counting.record(number):
                asked.append((number, self._asked(_QUERY.validate_python(record))))
        for (number, _), outcome in zip(asked, self._store.add_queries([one for _, one in asked]), strict=True):
            with counting.record(number):
                counting.add(_of(outcome))
        ids = [query.id for _, (query, _, _) in asked]
        return counting.answer(query_id=ids[0] if len(ids) == 1 else None)

    def events(self, body: bytes) -> UbiAnswer:
        """Record events, those of a body together. Errors: as `queries`."""
        counting, events = _Counting(), list[tuple[int, Event]]()
        clicks: list[tuple[int, Any, _Event]] = []
        elsewhere = 0
        for number, record in records(body):
            if isinstance(record, dict) and record.get("action_name") not in (None, *CLICKS):
                counting.ignored += 1
                continue
            with counting.record(number):
                if not isinstance(record, dict) or record.get("action_name") is None:
                    raise InputError("There is no `action_name`.", "")
                if not _on_a_hit(record):
                    elsewhere += 1
                    continue
                click = _EVENT.validate_python(record)
                clicks.append((number, record, click))
                self._see(click)
        shown = cache(self._shown)  # each query is read once, however many clicks are its own
        for number, record, click in clicks:
            with counting.record(number):
                events.append((number, self._event(record, click, _of(shown(click.query_id)))))
        for (number, _), outcome in zip(events, self._store.add_events([event for _, event in events]), strict=True):
            with counting.record(number):
                _, duplicate = _of(outcome)
                counting.add(not duplicate)
        counting.ignored += elsewhere
        notes = self._notes({click.application or "" for _, _, click in clicks})
        return counting.answer(notes + ([_ELSEWHERE.format(elsewhere)] if elsewhere else []))

    def _asked(self, asked: _Query) -> Asked:
        """The query with what it showed, as the store keeps them."""
        with about("query_attributes.index"):
            name, index = self._catalog.index(self._index_of(asked))
        hits = list(dict.fromkeys(str(hit) for hit in asked.query_response_hit_ids))
        told = asked.query_attributes
        made = Round(
            ranking=Ranking(hits, -np.arange(1.0, len(hits) + 1.0)),
            pipeline="",  # none of ours: the next round takes the index's own
            version=" ".join(_text(told.get(name)) for name in ("pipeline", "pipeline_version")).strip(),
            generation=index.view().generation,
            score_kind="rank",
        )
        session = asked.session_id or _text(told.get("session_id")) or None
        page = Page(0, tuple(hits), session, asked.user_id, client_id=asked.client_id)
        return StoredQuery(asked.query_id or uuid.uuid4().hex, name, asked.user_query), made, page

    def _index_of(self, asked: _Query) -> str | None:
        """The index that the query's attributes name, or its application where an index is called so."""
        named = asked.query_attributes.get("index")
        if isinstance(named, str):
            return named
        return asked.application if self._catalog.has(asked.application) else None

    def _shown(self, query_id: str) -> _Shown | ClickwiseError:
        """A query with the ranks of its newest round, or that it was never sent."""
        try:
            query = self._store.query(query_id)
        except NotFoundError as error:
            return error
        made = self._store.round(query_id)
        return query, {doc: rank for rank, doc in enumerate(made.ranking.ids, 1)} if made else {}

    def _event(self, record: Mapping[str, Any], click: _Event, shown: _Shown) -> Event:
        """Raises NotFoundError for a document that its query did not show."""
        query, ranks = shown
        document, told = str(click.event_attributes.object.object_id), click.event_attributes
        if document in ranks:
            position: int | None = ranks[document]
        elif document in self._catalog.index(query.index)[1].view().lexical:
            position = self._rank(click)
        else:
            raise NotFoundError(f"There is no document {document!r} in the page or the index.", "")
        content = json.dumps(record, sort_keys=True, ensure_ascii=True).encode()
        return Event(
            query_id=query.id,
            document=document,
            kind="click",
            position=position,
            dwell_ms=None if told.dwell_time is None else round(1000 * told.dwell_time),
            idempotency_key=f"ubi:{hashlib.sha256(content).hexdigest()[:40]}",
            session_id=click.session_id,
            client_id=click.client_id,
            user_id=click.user_id,
        )

    def _see(self, click: _Event) -> None:
        row = {"ordinal": click.event_attributes.position.ordinal, "application": click.application or ""}
        with self._lock:
            self._ordinals.see(row)

    def _rank(self, click: _Event) -> int | None:
        """The rank that an event names, from 1; None where it names none that there is."""
        ordinal = click.event_attributes.position.ordinal
        if ordinal is None:
            return None
        with self._lock:
            rank = ordinal - self._ordinals.base(click.application or "") + 1
        return rank if rank > 0 else None

    def _notes(self, applications: set[str]) -> list[str]:
        with self._lock:
            return list(self._ordinals.notes(applications))


class _Counting:
    """What became of the records of one body."""

    def __init__(self) -> None:
        self.recorded = self.duplicates = self.ignored = self.rejected = 0
        self.told: list[Rejected] = []

    def add(self, new: bool) -> None:
        self.recorded += new
        self.duplicates += not new

    def reject(self, number: int, field: str | None, reason: str) -> None:
        self.rejected += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(Rejected(record=number, field=field, detail=reason))

    @contextmanager
    def record(self, number: int) -> Iterator[None]:
        """What cannot be used of one record is counted and not raised."""
        try:
            yield
        except ValidationError as error:
            fault = error.errors()[0]
            self.reject(number, field_name(fault["loc"]), fault_reason(fault))
        except (InputError, NotFoundError, ConflictError) as error:
            self.reject(number, error.field, str(error))

    def answer(self, notes: Sequence[str] = (), query_id: str | None = None) -> UbiAnswer:
        if self.rejected and not (self.recorded or self.duplicates or self.ignored):
            raise BulkError([(one.record, one.field, one.detail.rstrip(".")) for one in self.told], self.rejected)
        return UbiAnswer(
            query_id=query_id,
            recorded=self.recorded,
            duplicates=self.duplicates,
            ignored=self.ignored,
            rejected=self.rejected,
            errors=self.told,
            notes=list(notes),
        )


_ELSEWHERE: Final = "Clicks without query_id or event_attributes.object.object_id, which teach nothing: {}."


def _on_a_hit(record: Mapping[str, Any]) -> bool:
    """Whether a click names what it was made on, and the query that showed it. UBI asks for neither: there are clicks
    on other parts of a page, and on pages that no query led to."""
    about = record.get("event_attributes")
    shown = about.get("object") if isinstance(about, dict) else about
    named = shown.get("object_id") if isinstance(shown, dict) else shown
    # What is malformed counts as named: it is for the schema to say what is wrong with it.
    return record.get("query_id") not in (None, "") and named not in (None, "")


def _of(outcome: T | ClickwiseError) -> T:
    """What came of it; raised if it is an error."""
    if isinstance(outcome, ClickwiseError):
        raise outcome
    return outcome


def _text(value: object) -> str:
    """What is noted besides; half a surrogate pair, which no database stores, as a question mark."""
    return value[:100].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""
