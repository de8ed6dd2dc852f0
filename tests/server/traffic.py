"""Made traffic: what a store holds after some days of searches whose clicks follow the position-based model."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections import defaultdict
from typing import Any, Final

import numpy as np
from sqlalchemy import insert

from server.store import Store
from server.store.tables import events, impressions, queries, rankings

LENGTH: Final = 10
TOPICS: Final = 12
DAY: Final = 86_400_000
_SCORES: Final = np.linspace(1, 0.1, LENGTH).astype("<f4").tobytes()


def fill(store: Store, index: str, pages: int, days: int = 6, *, disagree: bool = True) -> None:
    """First pages of two pipelines, spread evenly over the last days, some with a second round; where they do not
    `disagree`, both always rank the same way."""
    draw, now = random.Random(7), time.time_ns() // 1_000_000
    wanted = [[f"{topic}/{number}" for number in range(LENGTH)] for topic in range(TOPICS)]
    relevance = {doc: draw.uniform(0.1, 0.9) for docs in wanted for doc in docs}
    rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)

    def ranked(query: str, number: int, pipeline: str, docs: list[str], ms: int) -> None:
        made = {"query_id": query, "round": number, "pipeline": pipeline, "version": f"{pipeline}-1", "ranked_ms": ms}
        packed = zlib.compress(json.dumps(docs).encode())
        rows[rankings].append(
            {**made, "generation": "000001", "score_kind": "combsum", "documents": packed, "scores": _SCORES}
            | {"feedback": "[]", "took_ms": draw.lognormvariate(3 if pipeline == "fused" else 2, 0.3)}
        )
        shown = {"query_id": query, "round": number, "offset": 0, "documents": json.dumps(docs), "shown_ms": ms}
        rows[impressions].append({**shown, "session_id": f"s{query}"})

    def acted(query: str, kind: str, document: str, ms: int, rank: int | None = None) -> None:
        act = {"query_id": query, "document": document, "kind": kind, "position": rank, "received_ms": ms}
        rows[events].append({**act, "idempotency_key": f"{query}/{kind}/{document}"})

    for number in range(pages):
        query, topic, ms = f"q{number}", draw.randrange(TOPICS), now - days * DAY + days * DAY * number // pages
        better = number % 3 > 0 and disagree
        docs = sorted(wanted[topic], key=lambda doc: -relevance[doc]) if better else list(wanted[topic])
        if disagree and draw.random() < 0.5:
            place = draw.randrange(LENGTH - 1)
            docs[place : place + 2] = reversed(docs[place : place + 2])
        rows[queries].append({"query_id": query, "index": index, "text": f"topic {topic}", "received_ms": ms})
        ranked(query, 1, "fused" if better else "bm25-qe", docs, ms)
        for rank, doc in enumerate(docs, start=1):
            if draw.random() < relevance[doc] / rank**0.7:
                acted(query, "click", doc, ms + 1, rank)
        if draw.random() < 0.2:
            acted(query, "relevant", docs[0], ms + 2)
            ranked(query, 2, "fused", docs, ms + 3)
    with store.writing() as connection:
        for table in (queries, rankings, impressions, events):
            connection.execute(insert(table), rows[table])
