"""Search, and what people do with its answers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, problems
from server.guard import Caller
from server.schemas import FeedbackAnswer, FeedbackRequest, SearchAnswer, SearchRequest

router = APIRouter(prefix="/v1", tags=["search"], route_class=Guarded)


@router.post("/search", response_model=SearchAnswer, responses=problems(400, 404, 413, 422, 503))
async def search(request: Request, ask: SearchRequest, door: TheDoor) -> Response:
    """Ask something (`query`), or have it ranked again with all feedback so far (`query_id`).

    Feedback that comes along is recorded, so it takes a key with the scope `feedback` besides.
    """
    caller: Caller = request.state.caller
    if ask.feedback:
        caller.check("feedback")
    patience = door.patience(ask.deadline_ms)
    return await door.answer(lambda: door.service.search(ask, patience), patience=patience)


@router.post(
    "/feedback", response_model=FeedbackAnswer, status_code=201, responses=problems(400, 404, 409, 413, 422, 503)
)
async def feedback(ask: FeedbackRequest, door: TheDoor) -> Response:
    """Tell what a person did with a document. It is durable when this answers, and the next round knows it."""
    return await door.answer(lambda: door.service.feedback(ask), lambda _: 201)
