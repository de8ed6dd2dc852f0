"""A page of a ranking in the words of the interface: titles, passages, movement, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from index.index import View
from index.lexical import LexicalQuery
from index.types import Document, Ranking
from server.events import Mark
from server.schemas import FeedbackLine, FieldValue, Hit, Passage, SearchAnswer, SearchRequest, StageScore
from server.store import Page, Round, StoredQuery


@dataclass(frozen=True, slots=True)
class Found:
    """What the index tells of the documents of a page, in their order: None for those that have gone from it since
    they were ranked; `passages` by document id."""

    documents: Sequence[Document | None]
    passages: Mapping[str, Passage]


@dataclass(frozen=True, slots=True)
class Shown:
    """All that one page is made of: the round `made`, the ranking of the round `before` it, the marks of today, and its
    documents."""

    ask: SearchRequest
    query: StoredQuery
    view: View
    made: Round
    before: Ranking | None
    marks: Mapping[str, Mark]
    found: Found
    timings_ms: Mapping[str, float]
    warnings: Sequence[str]
    degraded: str | None = None


def page_of(ask: SearchRequest, ranking: Ranking) -> Page:
    """The part of a ranking that a request asks to see."""
    return Page(ask.offset, ranking.ids[ask.offset : ask.offset + ask.limit], ask.session_id, ask.user_id)


def find(view: View, query: str, ids: Sequence[str], passages: bool) -> Found:
    """Read the documents of a page, with or without their best passages for a query."""
    documents = view.lexical.documents(ids)
    there = [document for document in documents if document is not None] if passages else []
    snippets = view.lexical.snippets_of(query, there) if there else []
    return Found(
        documents,
        {
            document.id: Passage(text=snippet.text, highlights=list(snippet.highlights))
            for document, snippet in zip(there, snippets, strict=True)
        },
    )


def answer(shown: Shown) -> SearchAnswer:
    """The page with its hits. Documents that have gone from the index since they were ranked are left out."""
    ask, made, query = shown.ask, shown.made, shown.query
    hits = _hits(shown)
    return SearchAnswer(
        query_id=query.id,
        query=query.text,
        index=query.index,
        generation=made.generation,
        pipeline=made.pipeline,
        pipeline_version=made.version,
        round=made.number,
        total=len(made.ranking),
        offset=ask.offset,
        limit=ask.limit,
        score_kind=made.score_kind,
        degraded=shown.degraded,
        warnings=[*shown.warnings, *_page_warnings(shown, len(hits))],
        feedback=[
            FeedbackLine(document=mark.document, kind=mark.kind, relevance=mark.relevance, weight=mark.weight)
            for mark in made.feedback
        ],
        timings_ms=dict(shown.timings_ms),
        hits=hits,
    )


def _page_warnings(shown: Shown, hits: int) -> list[str]:
    ask, made = shown.ask, shown.made
    warnings = []
    if ask.offset > 0 and ask.offset >= len(made.ranking):
        warnings.append(
            f"Offset {ask.offset} is beyond the end of the ranking, which has {documents(len(made.ranking))}."
        )
    gone = len(page_of(ask, made.ranking).documents) - hits
    if gone:
        warnings.append(f"This page lacks {documents(gone)} deleted since the ranking was made.")
    if ask.explain and made.stages is None:
        warnings.append("This round was ranked without explain: its stage scores were not kept.")
    return warnings


def documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count} documents"


def _hits(shown: Shown) -> list[Hit]:
    ask, lexical, ranking = shown.ask, shown.view.lexical, shown.made.ranking
    ids = page_of(ask, ranking).documents
    there = [(place, doc) for place, doc in enumerate(shown.found.documents, start=ask.offset) if doc is not None]
    before = _ranks(shown.before) if shown.before else {}
    stages = _stage_scores(shown.made.stages, set(ids)) if ask.explain and shown.made.stages else None
    hits = []
    for place, doc in there:
        mark = shown.marks.get(doc.id)
        hits.append(
            Hit(
                id=doc.id,
                rank=place + 1,
                score=float(ranking.scores[place]),
                title=doc.title,
                fields=fields_of(doc),
                snippet=shown.found.passages.get(doc.id),
                previous_rank=before.get(doc.id),
                feedback=mark.label if mark else None,
                stages=None if stages is None else stages.get(doc.id, {}),
                explanation=lexical.explain(LexicalQuery(text=shown.query.text), doc.id) if ask.explain else None,
            )
        )
    return hits


def fields_of(document: Document) -> dict[str, FieldValue]:
    """A document's fields as JSON has them."""
    return {
        name: value if isinstance(value, str | int | float | bool) else list(value)
        for name, value in document.fields.items()
    }


def _ranks(ranking: Ranking) -> dict[str, int]:
    return {doc: rank for rank, doc in enumerate(ranking.ids, start=1)}


def _stage_scores(stages: Mapping[str, Ranking], wanted: set[str]) -> dict[str, dict[str, StageScore]]:
    """document -> stage -> its rank and score there; a stage that did not rank the document is absent."""
    scores: dict[str, dict[str, StageScore]] = {}
    for name, ranking in stages.items():
        for rank, (doc, score) in enumerate(ranking, start=1):
            if doc in wanted:
                scores.setdefault(doc, {})[name] = StageScore(rank=rank, score=score)
    return scores
