"""Records as rows of the tables, and back."""

from __future__ import annotations

import json
import time
import zlib
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from index.types import Ranking
from server.events import Event, Mark
from server.store.records import Page, Round, StoredQuery


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def packed(value: Any) -> bytes:
    # Level 1: a thousand ids pack to a third in under a millisecond; higher levels gain little.
    return zlib.compress(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), 1)


def unpacked(blob: bytes) -> Any:
    return json.loads(zlib.decompress(blob))


def query_row(query: StoredQuery) -> dict[str, Any]:
    return {
        "query_id": query.id,
        "index": query.index,
        "text": query.text,
        "filter": query.filter,
        "received_ms": now_ms(),
    }


def round_row(query_id: str, made: Round) -> dict[str, Any]:
    """The row of a round but for its number, which the store gives."""
    stages = made.stages and packed({name: [part.ids, part.scores.tolist()] for name, part in made.stages.items()})
    return {
        "query_id": query_id,
        "pipeline": made.pipeline,
        "version": made.version,
        "generation": made.generation,
        "score_kind": made.score_kind,
        "documents": packed(made.ranking.ids),
        "scores": made.ranking.scores.astype("<f4").tobytes(),
        "stages": stages or None,
        "feedback": json.dumps([[m.document, m.kind, m.relevance, m.weight] for m in made.feedback]),
        "ranked_ms": now_ms(),
        "took_ms": made.took_ms,
    }


def round_of(row: RowMapping) -> Round:
    stages = row["stages"] and {
        name: Ranking(ids, np.asarray(scores, dtype=np.float64))
        for name, (ids, scores) in unpacked(row["stages"]).items()
    }
    return Round(
        ranking=Ranking(unpacked(row["documents"]), np.frombuffer(row["scores"], dtype="<f4").astype(np.float64)),
        pipeline=row["pipeline"],
        version=row["version"],
        generation=row["generation"],
        score_kind=row["score_kind"],
        feedback=tuple(Mark(*mark) for mark in json.loads(row["feedback"])),
        stages=stages or None,
        number=row["round"],
        took_ms=row["took_ms"],
    )


def page_row(query_id: str, number: int, page: Page) -> dict[str, Any]:
    return {
        "query_id": query_id,
        "round": number,
        "offset": page.offset,
        "documents": json.dumps(page.documents, ensure_ascii=False),
        "session_id": page.session_id,
        "client_id": page.client_id,
        "user_id": page.user_id,
        "propensities": None if page.propensities is None else json.dumps(page.propensities),
        "shown_ms": now_ms(),
        "arm": page.arm,
        "credits": None if page.credits is None else json.dumps(page.credits),
    }


def event_row(event: Event) -> dict[str, Any]:
    return {
        "query_id": event.query_id,
        "document": event.document,
        "kind": event.kind,
        "relevance": event.relevance,
        "weight": event.weight,
        "position": event.position,
        "dwell_ms": event.dwell_ms,
        "idempotency_key": event.idempotency_key,
        "received_ms": now_ms(),
        "session_id": event.session_id,
        "client_id": event.client_id,
        "user_id": event.user_id,
    }


def event_of(row: RowMapping) -> Event:
    """The event of a row, but for whose it is: that is there to be erased by, and for nothing else."""
    return Event(
        query_id=row["query_id"],
        document=row["document"],
        kind=row["kind"],
        position=row["position"],
        dwell_ms=row["dwell_ms"],
        idempotency_key=row["idempotency_key"],
        relevance=row["relevance"],
        weight=row["weight"],
    )
