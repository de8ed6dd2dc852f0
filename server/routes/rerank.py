"""Re-ranking of texts for clients of others: Cohere, Jina, infinity and text-embeddings-inference.

One way of working and one address per dialect; `/rerank` answers in the dialect of the request, which `texts` or
`documents` tells. Each takes `feedback` besides, and then adapts to it. Errors are problems, as everywhere here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from server.access import Guarded
from server.door import Door, TheDoor, problems
from server.reranking import DEFAULT, MODELS, Reranked
from server.schemas_rerank import (
    MOST_TEXTS,
    CohereAnswer,
    CohereResult,
    EitherRequest,
    GivenText,
    InfinityAnswer,
    InfinityResult,
    JinaAnswer,
    JinaResult,
    ModelInfo,
    RerankRequest,
    TextRank,
    TextRanks,
    Usage,
)

router = APIRouter(tags=["rerank"], route_class=Guarded)
DEGRADED: Final = "X-Degraded"
"""The header that says why a ranking is less than its model promises."""
Ask = TypeVar("Ask", RerankRequest, EitherRequest)


@router.post("/v2/rerank", response_model=CohereAnswer, responses=problems(400, 413, 422, 503))
async def cohere(ask: RerankRequest, door: TheDoor) -> Response:
    """As Cohere's version 2."""
    return await _answer(door, ask, _cohere)


@router.post("/v1/rerank", response_model=JinaAnswer, responses=problems(400, 413, 422, 503))
async def jina(ask: RerankRequest, door: TheDoor) -> Response:
    """As Jina, and as Cohere's version 1."""
    return await _answer(door, ask, _jina)


@router.post("/rerank", response_model=InfinityAnswer | TextRanks, responses=problems(400, 413, 422, 503))
async def rerank(ask: EitherRequest, door: TheDoor) -> Response:
    """As infinity (`documents`) or as text-embeddings-inference (`texts`)."""
    return await _answer(door, ask, _infinity if ask.texts is None else _text_ranks)


@router.get("/info", response_model=ModelInfo, responses=problems(503))
async def info(door: TheDoor) -> Response:
    """What ranks here, in the words of text-embeddings-inference."""
    return await door.answer(lambda: _info(door))


async def _answer(door: Door, ask: Ask, written: Callable[[Ask, Reranked], BaseModel]) -> Response:
    patience, less = door.patience(ask.deadline_ms), list[str]()

    def work() -> BaseModel:
        done = door.service.reranking.rerank(
            ask.query, _texts(ask), ask.feedback, model=ask.model, raw_scores=ask.raw_scores, patience=patience
        )
        if done.degraded:
            less.append(done.degraded)
        return written(ask, done)

    response = await door.answer(work, patience=patience, exclude_none=True)
    if less:  # in a header, as a bare list of ranks has no room for it
        response.headers[DEGRADED] = less[0]
        door.degraded(less[0])
    return response


def _texts(ask: RerankRequest | EitherRequest) -> list[str]:
    sent = ask.texts if isinstance(ask, EitherRequest) and ask.texts is not None else ask.documents
    return [document.text if isinstance(document, GivenText) else document for document in sent or ()]


def _best(ask: RerankRequest | EitherRequest, done: Reranked) -> list[tuple[int, float]]:
    """The places and scores that are asked for: all of them where more are wanted than there are."""
    return list(zip(done.order, done.scores, strict=True))[: ask.top_n]


def _cohere(ask: RerankRequest, done: Reranked) -> CohereAnswer:
    results = [CohereResult(index=at, relevance_score=score) for at, score in _best(ask, done)]
    return CohereAnswer(id=str(uuid.uuid4()), results=results, meta=_meta(done))


def _jina(ask: RerankRequest, done: Reranked) -> JinaAnswer:
    def document(at: int) -> dict[str, object] | None:
        if not ask.return_documents:
            return None
        sent = ask.documents[at]
        return sent.model_dump() if isinstance(sent, GivenText) else {"text": sent}

    results = [JinaResult(index=at, relevance_score=score, document=document(at)) for at, score in _best(ask, done)]
    return JinaAnswer(
        id=str(uuid.uuid4()),
        model=done.model,
        score_kind=done.score_kind,
        degraded=done.degraded,
        usage=_usage(ask),
        results=results,
    )


def _text_ranks(ask: EitherRequest, done: Reranked) -> TextRanks:
    texts = _texts(ask)
    ranks = zip(done.order, done.scores, strict=True)
    return TextRanks(
        [TextRank(index=at, score=score, text=texts[at] if ask.return_text else None) for at, score in ranks]
    )


def _infinity(ask: EitherRequest, done: Reranked) -> InfinityAnswer:
    sent = _texts(ask)
    texts: Sequence[str | None] = sent if ask.return_documents else [None] * len(sent)
    results = [InfinityResult(index=at, relevance_score=score, document=texts[at]) for at, score in _best(ask, done)]
    return InfinityAnswer(
        id=f"infinity-{uuid.uuid4()}",
        model=done.model,
        created=int(time.time()),
        score_kind=done.score_kind,
        degraded=done.degraded,
        usage=_usage(ask),
        results=results,
    )


def _usage(ask: RerankRequest | EitherRequest) -> Usage:
    words = sum(len(text.split()) for text in [ask.query, *_texts(ask)])
    return Usage(total_tokens=words, prompt_tokens=words)


def _meta(done: Reranked) -> dict[str, object]:
    warnings = [f"This ranking is simpler than asked for ({done.degraded})."] if done.degraded else []
    warnings += [f"Of {done.unread} documents only the beginning was read."] if done.unread else []
    meta: dict[str, object] = {"api_version": {"version": "2"}, "score_kind": done.score_kind}
    if done.degraded:
        meta["degraded"] = done.degraded
    return {**meta, "warnings": warnings} if warnings else meta


def _info(door: Door) -> ModelInfo:
    encoder = door.service.reranking.encoder()
    return ModelInfo(
        model_id=f"clickwise/{DEFAULT}",
        model_sha=encoder.checksum,
        model_dtype="auto",
        model_type={"reranker": {"id2label": {"0": "relevance"}, "label2id": {"relevance": 0}}},
        max_input_length=encoder.max_tokens,
        max_client_batch_size=MOST_TEXTS,
        version=door.version,
        models=list(MODELS),
    )
