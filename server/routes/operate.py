"""How the service does: what is asked of it, what clicks say, what went wrong."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, TheHouse, problems
from server.operate.answers import ClicksAnswer, ErrorsAnswer, TrafficAnswer

router = APIRouter(prefix="/v1/operation", tags=["operation"], route_class=Guarded)

Days = Annotated[int, Query(ge=1, le=90, description="how far to look back")]
IndexName = Annotated[str | None, Query(alias="index", description="only searches of this index; all where left out")]


@router.get("/traffic", response_model=TrafficAnswer, responses=problems(404, 422, 503))
async def traffic(door: TheDoor, days: Days = 7, index: IndexName = None) -> Response:
    """Searches, rounds, latency and feedback over time, and which versions answered."""
    return await door.answer(lambda: door.service.operation.traffic(days, index))


@router.get("/clicks", response_model=ClicksAnswer, responses=problems(404, 422, 503))
async def clicks(door: TheDoor, days: Days = 7, index: IndexName = None) -> Response:
    """Click-through by rank, quality by pipeline over time, and how likely each rank is looked at."""
    return await door.answer(lambda: door.service.operation.clicks(days, index))


@router.get("/errors")
async def errors(house: TheHouse) -> ErrorsAnswer:
    """What went wrong lately in this process, the newest first."""
    return house.recent.answer()
