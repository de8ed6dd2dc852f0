"""Result pages with what people did on them: one at a time as objects, many at a time as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ranking.clicks.schema import EVENTS, IMPRESSIONS

Kind: TypeAlias = Literal["click", "dwell", "judgement", "last_click"]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Event:
    """What a person did with one document of a page. `rank` from 1; `relevance` in [0, 1] for judgements."""

    document: str
    kind: Kind = "click"
    rank: int | None = None
    relevance: float | None = None
    weight: float | None = None
    dwell_ms: int | None = None
    time: datetime | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One result page with its events. `ranks` are 1, 2, 3, … where they are left empty."""

    query_id: str
    query: str
    documents: Sequence[str]
    ranks: Sequence[int] = ()
    events: Sequence[Event] = ()
    pipeline: str | None = None
    pipeline_version: str | None = None
    model: str | None = None
    propensities: Sequence[float] | None = None
    scores: Sequence[float] | None = None
    arm: str | None = None
    session: str | None = None
    client: str | None = None
    time: datetime | None = None
    device: str | None = None


@dataclass(frozen=True, eq=False)
class Pages:
    """n result pages and their m events, as Arrow.

    `impressions` has n rows in the schema IMPRESSIONS and `events` m rows in EVENTS, in the order of their pages;
    `page` (m,) is the row of each event's impression. The documents of all pages one after the other, t in all, are
    the *slots*: arrays of shape (t,) speak of them.
    """

    impressions: Any
    events: Any
    page: Integers

    @classmethod
    def of(cls, pages: Iterable[Page]) -> Pages:
        """Objects as Arrow. Raises TypeError or an ArrowException for values of the wrong type."""
        rows = list(pages)
        columns = {name: [getattr(row, name) for row in rows] for name in IMPRESSIONS.names if name != "ranks"}
        columns["ranks"] = [row.ranks or range(1, len(row.documents) + 1) for row in rows]
        owned = [(number, row.query_id, event) for number, row in enumerate(rows) for event in row.events]
        acts = {name: [getattr(event, name) for _, _, event in owned] for name in EVENTS.names if name != "query_id"}
        acts["query_id"] = [query_id for _, query_id, _ in owned]
        return cls(
            _batch(columns, IMPRESSIONS), _batch(acts, EVENTS), np.array([n for n, _, _ in owned], dtype=np.int64)
        )

    def rows(self) -> Iterator[Page]:
        """The pages as objects, in order."""
        acts: list[list[Event]] = [[] for _ in range(len(self))]
        for number, values in zip(self.page.tolist(), self.events.to_pylist(), strict=True):
            del values["query_id"]
            acts[number].append(Event(**values))
        for values, own in zip(self.impressions.to_pylist(), acts, strict=True):
            yield Page(**values, events=own)

    def __len__(self) -> int:
        return int(self.impressions.num_rows)

    @cached_property
    def lengths(self) -> Integers:
        """The number of documents of each page, shape (n,)."""
        return _lengths(self.impressions.column("documents"))

    @cached_property
    def starts(self) -> Integers:
        """The first slot of each page and the end of the last one, shape (n + 1,)."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    @cached_property
    def page_of_slot(self) -> Integers:
        """The page of each slot, shape (t,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def documents(self) -> Any:
        """The document of each slot: an Arrow array of t strings."""
        return self.impressions.column("documents").flatten()

    @cached_property
    def ranks(self) -> npt.NDArray[np.int32]:
        """The rank of each slot, shape (t,); 0 where a damaged log gives a document none."""
        column = self.impressions.column("ranks")
        given = _lengths(column)
        flat = np.asarray(pc.fill_null(column.flatten(), 0), dtype=np.int32)
        if np.array_equal(given, self.lengths):
            return flat
        within = np.arange(len(self.documents)) - self.starts[self.page_of_slot]
        there = within < given[self.page_of_slot]
        begins = (np.cumsum(given) - given)[self.page_of_slot]
        ranks = np.zeros(len(within), dtype=np.int32)
        ranks[there] = flat[(begins + within)[there]]
        return ranks

    @cached_property
    def sound(self) -> Flags:
        """Which pages have documents with one rank each, from 1 and ascending, shape (n,)."""
        sound: Flags = (self.lengths > 0) & (_lengths(self.impressions.column("ranks")) == self.lengths)
        bad = self.ranks < 1
        bad[1:] |= (np.diff(self.ranks) <= 0) & (np.diff(self.page_of_slot) == 0)
        bad |= np.asarray(pc.is_null(self.documents))
        sound[self.page_of_slot[bad]] = False
        return sound

    @cached_property
    def first(self) -> Flags:
        """Which slots show their document for the first time on their page, shape (t,)."""
        codes = _codes(pa.chunked_array([self.documents]))
        keys = self.page_of_slot * (int(codes.max(initial=0)) + 1) + codes
        first = np.zeros(len(keys), dtype=np.bool_)
        first[np.unique(keys, return_index=True)[1]] = True
        return first

    @cached_property
    def slot(self) -> Integers:
        """The slot of each event's document, its first one on the page, shape (m,); -1 where the page lacks it."""
        shown = len(self.documents)
        both = pa.chunked_array([self.documents, self.events.column("document")], type=pa.string())
        codes = _codes(both)
        documents = int(codes.max(initial=0)) + 1
        keys = self.page_of_slot * documents + codes[:shown]
        wanted = self.page * documents + codes[shown:]
        if shown == 0:
            return np.full(len(wanted), -1, dtype=np.int64)
        order = np.argsort(keys, kind="stable")  # quick, as keys come page by page
        found = np.minimum(np.searchsorted(keys, wanted, sorter=order), shown - 1)
        return np.where(keys[order[found]] == wanted, order[found], -1)

    def of_kind(self, kind: Kind) -> Flags:
        """Which events are of a kind, shape (m,)."""
        return np.asarray(pc.equal(self.events.column("kind"), kind), dtype=np.bool_)

    @cached_property
    def clicked(self) -> Flags:
        """Which slots were clicked, shape (t,)."""
        clicked = np.zeros(len(self.documents), dtype=np.bool_)
        slots = self.slot[self.of_kind("click")]
        clicked[slots[slots >= 0]] = True
        return clicked

    def take(self, keep: Flags) -> Pages:
        """The pages for which `keep`, of shape (n,), is true, with their events."""
        if keep.all():
            return self
        own = keep[self.page]
        renumbered = np.cumsum(keep) - 1
        return Pages(
            self.impressions.filter(pa.array(keep)), self.events.filter(pa.array(own)), renumbered[self.page[own]]
        )

    def take_events(self, keep: Flags) -> Pages:
        """All pages, with the events for which `keep`, of shape (m,), is true."""
        return self if keep.all() else Pages(self.impressions, self.events.filter(pa.array(keep)), self.page[keep])

    def with_events(self, columns: Mapping[str, Any]) -> Pages:
        """The same pages with other values in some columns of their events, Arrow arrays of m values."""
        changed = self.events
        for name, values in columns.items():
            field = EVENTS.field(name)
            changed = changed.set_column(changed.schema.get_field_index(name), field, values.cast(field.type))
        return Pages(self.impressions, changed, self.page)

    def take_slots(self, keep: Flags) -> Pages:
        """All pages, with the documents for which `keep`, of shape (t,), is true; of sound pages only."""
        if keep.all():
            return self
        kept = np.zeros(len(self), dtype=np.int64)
        np.add.at(kept, self.page_of_slot[keep], 1)
        changed = self.impressions
        for name in ("documents", "ranks", "propensities", "scores"):
            column = changed.column(name)
            full = _lengths(column) == self.lengths
            values = column.flatten().filter(pa.array(keep[np.repeat(full, self.lengths)]))
            offsets = np.concatenate([[0], np.cumsum(np.where(full, kept, 0))]).astype(np.int32)
            mask = None if full.all() else pa.array(~full)
            made = pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)
            changed = changed.set_column(changed.schema.get_field_index(name), IMPRESSIONS.field(name), made)
        return Pages(changed, self.events, self.page)

    def slices(self, size: int) -> Iterator[Pages]:
        """The pages in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            first, last = np.searchsorted(self.page, [start, stop])
            yield Pages(
                self.impressions.slice(start, stop - start),
                self.events.slice(first, last - first),
                self.page[first:last] - start,
            )


def _batch(columns: dict[str, list[Any]], schema: Any) -> Any:
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _lengths(column: Any) -> Integers:
    """The lengths of an Arrow array of lists; a missing list has none."""
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)


def _codes(values: Any) -> Integers:
    """Numbers that are the same for the same text, from 0, for a chunked array; missing text has -1."""
    encoded = values.combine_chunks().dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices, -1), dtype=np.int64)
