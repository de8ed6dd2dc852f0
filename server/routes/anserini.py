"""Pyserini's and Anserini's REST search, read-only, so that their clients work unchanged: BM25 and stored documents.

Nothing is recorded and nothing learns here: that is what `/v1/search` is for.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from index.index import View
from index.types import Query as Asked
from index.types import Ranking
from ranking.bm25 import Bm25
from ranking.context import Context
from ranking.contract import Request
from server.access import Guarded
from server.door import Door, TheDoor, problems
from server.schemas_anserini import Candidate, CandidatesAnswer, StoredAnswer

router = APIRouter(prefix="/v1", tags=["anserini"], route_class=Guarded)


@router.get("/{index}/search", response_model=CandidatesAnswer, responses=problems(404, 422, 503))
async def search(
    index: str,
    door: TheDoor,
    query: Annotated[str, Query(min_length=1, max_length=10_000, description="the words to search for")],
    hits: Annotated[int, Query(ge=1, le=1000, description="how many hits")] = 10,
    parse: Annotated[bool, Query(description="whether hits come with their documents")] = True,
    k1: Annotated[float | None, Query(ge=0, le=1000, allow_inf_nan=False)] = None,
    b: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
) -> Response:
    """The best documents by BM25, whose parameters are the index's own where they are not given."""
    return await door.answer(lambda: _search(door, index, query, hits, parse, Bm25(depth=hits, k1=k1, b=b)))


@router.get("/{index}/doc/{document_id:path}", response_model=StoredAnswer, responses=problems(404, 422, 503))
async def document(index: str, document_id: str, door: TheDoor) -> Response:
    """A document as it is stored."""

    def work() -> StoredAnswer:
        found = door.service.documents.get(index, document_id)
        doc = {"id": found.id, "title": found.title, "contents": found.text, **found.fields}
        return StoredAnswer(index=found.index, docid=found.id, doc=doc)

    return await door.answer(work)


def _search(door: Door, name: str, words: str, hits: int, parse: bool, bm25: Bm25) -> CandidatesAnswer:
    name, index = door.service.catalog.index(name)
    context = Context.of(index)
    ranking = bm25.rank([Request(Asked("", words))], context)[0].head(hits)
    documents = _documents(context.view, ranking) if parse else [None] * len(ranking)
    return CandidatesAnswer(
        index=name,
        query={"text": words},
        candidates=[
            Candidate(docid=doc, score=round(score, 6), rank=rank, doc=stored)
            for rank, ((doc, score), stored) in enumerate(zip(ranking, documents, strict=True), 1)
        ],
    )


def _documents(view: View, ranking: Ranking) -> list[dict[str, object] | None]:
    found = view.lexical.documents(ranking.ids)
    return [{"id": doc.id, "title": doc.title, "contents": doc.text, **doc.fields} if doc else None for doc in found]
