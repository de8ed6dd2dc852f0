"""People's right to be forgotten."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, problems
from server.schemas import ErasedAnswer

router = APIRouter(prefix="/v1", tags=["people"], route_class=Guarded)


@router.delete("/people/{person_id:path}", response_model=ErasedAnswer, responses=problems(404, 422, 503))
async def erase(person_id: str, door: TheDoor) -> Response:
    """Forget a session, client or user by the id that was sent with their searches or, as User Behavior Insights, with
    their clicks: every query that they were shown a page of or clicked on, with its rankings, pages and events. An id
    that nobody knows removes nothing."""
    return await door.answer(lambda: ErasedAnswer(**asdict(door.service.store.erase(person_id))))
