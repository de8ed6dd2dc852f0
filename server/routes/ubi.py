"""User Behavior Insights of OpenSearch, taken in verbatim."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, problems
from server.schemas_ubi import UbiAnswer

router = APIRouter(prefix="/ubi", tags=["ubi"], route_class=Guarded)


def _body(example: dict[str, Any]) -> dict[str, Any]:
    one = {"type": "object"}
    return {
        "requestBody": {
            "required": True,
            "description": "One record of UBI 1.3, an array of them, or one to a line.",
            "content": {
                "application/json": {
                    "schema": {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]},
                    "example": example,
                }
            },
        }
    }


_QUERY: Final = {
    "query_id": "00112233-4455-6677-8899-aabbccddeeff",
    "application": "shop",
    "client_id": "client-1",
    "user_query": "running shoes",
    "query_response_hit_ids": ["shoe-1", "shoe-7"],
    "timestamp": "2026-01-01T12:00:00.000Z",
}
_EVENT: Final = {
    "query_id": "00112233-4455-6677-8899-aabbccddeeff",
    "application": "shop",
    "action_name": "click",
    "client_id": "client-1",
    "timestamp": "2026-01-01T12:00:04.000Z",
    "event_attributes": {"object": {"object_id": "shoe-7"}, "position": {"ordinal": 2}},
}


@router.post("/queries", response_model=UbiAnswer, openapi_extra=_body(_QUERY), responses=problems(404, 413, 422, 503))
async def queries(request: Request, door: TheDoor) -> Response:
    """Record queries with the documents that they showed."""
    body = await request.body()
    return await door.answer(lambda: door.service.ubi.queries(body))


@router.post("/events", response_model=UbiAnswer, openapi_extra=_body(_EVENT), responses=problems(404, 413, 422, 503))
async def events(request: Request, door: TheDoor) -> Response:
    """Record the clicks among events. They count as feedback on their query from then on."""
    body = await request.body()
    return await door.answer(lambda: door.service.ubi.events(body))
