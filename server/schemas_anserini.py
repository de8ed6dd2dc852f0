"""What goes over the wire to clients of Pyserini's and Anserini's REST servers."""

from __future__ import annotations

from typing import Any

from server.schemas import Answer


class Candidate(Answer):
    """One hit: its rank counts from 1, its score has six decimals."""

    docid: str
    score: float
    rank: int
    doc: dict[str, Any] | None


class CandidatesAnswer(Answer):
    api: str = "v1"
    index: str
    query: dict[str, str]
    candidates: list[Candidate]


class StoredAnswer(Answer):
    api: str = "v1"
    index: str
    docid: str
    doc: dict[str, Any]
