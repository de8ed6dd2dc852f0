"""Who wins where two pipelines share result pages, or split the sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, problems
from server.schemas_catalog import ExperimentsAnswer, InterleavingAnswer

router = APIRouter(prefix="/v1", tags=["experiments"], route_class=Guarded)


@router.get("/interleaving", response_model=InterleavingAnswer, responses=problems(422, 503))
async def interleaving(door: TheDoor, confidence: Annotated[float, Query(gt=0, lt=1)] = 0.95) -> Response:
    """How the duels stand. Look as often as you like: p-values and intervals are valid at any time."""
    return await door.answer(lambda: door.service.interleaving(confidence))


@router.get("/experiments", response_model=ExperimentsAnswer, responses=problems(422, 503))
async def experiments(door: TheDoor, confidence: Annotated[float, Query(gt=0, lt=1)] = 0.95) -> Response:
    """How traffic splits and canaries stand. Look as often as you like, as with the duels."""
    return await door.answer(lambda: door.service.experiments(confidence))
