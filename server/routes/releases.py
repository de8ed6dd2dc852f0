"""What serves, exchanged while requests go on: generations of indexes, models, click models."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, problems
from server.schemas_operation import (
    ClickModelActivation,
    IndexActivation,
    ModelActivation,
    ReleaseInfo,
    ReleasesAnswer,
)

router = APIRouter(prefix="/admin", tags=["releases"], route_class=Guarded)
_ANSWERS = problems(400, 404, 409, 413, 422, 503)


@router.get("/releases", response_model=ReleasesAnswer, responses=problems(503))
async def releases(door: TheDoor) -> Response:
    """What was activated and serves now, on every replica of this store."""
    return await door.answer(door.service.released)


@router.post("/indexes/{name}:activate", response_model=ReleaseInfo, status_code=201, responses=_ANSWERS)
async def activate_index(name: str, body: IndexActivation, door: TheDoor) -> Response:
    """Have a generation of an index serve. It is open and warm before the first search meets it.

    Documents are written to the generation that serves everybody: a canary shows its generation as it was built.
    """
    return await door.answer(
        lambda: door.service.activate("index", name, body.generation, body.share), lambda _: 201, lane="loads"
    )


@router.post("/models/{name:path}:activate", response_model=ReleaseInfo, status_code=201, responses=_ANSWERS)
async def activate_model(name: str, body: ModelActivation, door: TheDoor) -> Response:
    """Have a model serve in the place of the one that pipelines name. The model itself takes it back."""
    return await door.answer(
        lambda: door.service.activate("model", name, body.model, body.share), lambda _: 201, lane="loads"
    )


@router.post("/click-models:activate", response_model=ReleaseInfo, status_code=201, responses=_ANSWERS)
async def activate_click_model(body: ClickModelActivation, door: TheDoor) -> Response:
    """Have clicks read in another way, in the place of what the setting click_model says."""
    return await door.answer(
        lambda: door.service.activate("click-model", "", body.model, body.share), lambda _: 201, lane="loads"
    )
