"""From the UBI records of one query_id to its pages."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ranking.clicks.formats.ubi_ranks import Ordinals
from ranking.clicks.pages import Event, Page
from ranking.clicks.reading import Reading

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_NAMES: Final = ("pipeline", "pipeline_version", "model", "arm", "device")
Row = Mapping[str, Any]


def pages_of(table: Any, ordinals: Ordinals, reading: Reading) -> Iterator[Page]:
    """The pages of all query_ids in a table of records."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        groups[row["query_id"]].append(row)
    for query_id, rows in groups.items():
        rows.sort(key=lambda row: row["time"] or _NEVER)
        yield from _pages(query_id, rows, ordinals, reading)


def _pages(query_id: str, rows: Sequence[Row], ordinals: Ordinals, reading: Reading) -> Iterator[Page]:
    queries = [row for row in rows if row["action"] == ""]
    acts = [row for row in rows if row["action"] and row["document"] is not None]
    if not queries:
        reading.count("events whose query_id has no query", len(acts))
    texts = list(dict.fromkeys(row["user_query"] for row in rows if row["user_query"] is not None))
    if len(texts) > 1:
        reading.count("query ids with several queries")
    by_text: dict[str, list[Row]] = defaultdict(list)
    homeless = []
    for row in acts:
        if row["user_query"] is None and len(texts) != 1:
            homeless.append(row)
        else:
            by_text[row["user_query"] or texts[0]].append(row)
    drafts = []
    for text in texts:
        own = [row for row in queries if row["user_query"] == text]
        hits = max((row["hits"] or [] for row in own), key=len, default=[])
        draft = _Draft(text, own, hits, by_text[text], ordinals)
        if draft.ranks:
            drafts.append(draft)
        else:
            reading.count("events of a query that shows nothing", len(by_text[text]))
    for row in homeless:  # an event that names no query belongs to the first page that shows its document
        home = next((draft for draft in drafts if row["document"] in draft.ranks), None)
        if home is None:
            reading.count("events that name no query and no document of it")
        else:
            home.acts.append(row)
    for number, draft in enumerate(drafts, 1):
        reading.count("documents at a rank that was taken", draft.crowded)
        reading.count("documents before the first rank", draft.early)
        yield draft.page(query_id if number == 1 else f"{query_id}#{number}")


class _Draft:
    """A page in the making. `ranks` are its documents with their ranks, ascending."""

    def __init__(
        self, text: str, queries: Sequence[Row], hits: Sequence[str], acts: list[Row], ordinals: Ordinals
    ) -> None:
        self.text, self.queries, self.acts, self.hits = text, queries, acts, hits
        self.crowded = self.early = 0
        self._place = {hit: place for place, hit in reversed(list(enumerate(hits, 1)))}
        self._ordinals = ordinals
        seen = [row for row in acts if row["action"] == "impression"]
        found: dict[int, str] = {}
        for row in seen:
            rank = self.rank(row)
            if rank is None or rank < 1:
                self.early += rank is not None
            elif row["document"] not in found.values():
                if rank in found:
                    self.crowded += 1
                found.setdefault(rank, row["document"])
        if not seen:
            found = {place: hit for hit, place in self._place.items()}
        self.ranks = {document: rank for rank, document in sorted(found.items())}

    def rank(self, row: Row) -> int | None:
        """Where a document was shown, from 1: its place in the hit list, or else its ordinal."""
        place = self._place.get(row["document"])
        if place is not None or row["ordinal"] is None:
            return place
        return int(row["ordinal"]) - self._ordinals.base(row["application"]) + 1

    def page(self, query_id: str) -> Page:
        asked = self.queries[0] if self.queries else self.acts[0]
        with_session = next((row["session"] for row in self.acts if row["session"]), None)
        more = _attributes(self.queries)
        names = {name: None if more.get(name) is None else str(more[name]) for name in _NAMES}
        return Page(
            query_id,
            self.text,
            list(self.ranks),
            list(self.ranks.values()),
            [self._event(row) for row in self.acts if row["action"] == "click"],
            pipeline=names["pipeline"],
            pipeline_version=names["pipeline_version"],
            model=names["model"],
            propensities=self._listed(more.get("propensities")),
            scores=self._listed(more.get("scores")),
            arm=names["arm"],
            session=with_session,
            client=asked["client"],
            time=min((row["time"] for row in self.queries or self.acts if row["time"]), default=None),
            device=names["device"],
        )

    def _event(self, row: Row) -> Event:
        rank = self.ranks.get(row["document"], self.rank(row))
        return Event(row["document"], rank=rank, dwell_ms=row["dwell_ms"], time=row["time"])

    def _listed(self, values: Any) -> list[float] | None:
        """Values of the hit list for the documents shown; None where they do not belong together."""
        if not isinstance(values, list) or len(values) != len(self.hits):
            return None
        if not all(isinstance(value, int | float) for value in values):
            return None
        places = [self._place.get(document) for document in self.ranks]
        return [float(values[place - 1]) for place in places if place] if all(places) else None


def _attributes(queries: Sequence[Row]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for row in queries:
        if row["attributes"]:
            merged.update(json.loads(row["attributes"]))
    return merged
