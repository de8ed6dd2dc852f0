"""What there is to search, and how it can be ranked."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, problems
from server.schemas_catalog import IndexesAnswer, PipelinesAnswer

router = APIRouter(prefix="/v1", tags=["catalog"], route_class=Guarded)


@router.get("/indexes", response_model=IndexesAnswer, responses=problems(503))
async def indexes(door: TheDoor) -> Response:
    """The indexes of this service."""
    return await door.answer(door.service.indexes)


@router.get("/pipelines", response_model=PipelinesAnswer, responses=problems(503))
async def pipelines(door: TheDoor) -> Response:
    """The ranking pipelines, and the indexes on which they work."""
    return await door.answer(door.service.pipelines)
