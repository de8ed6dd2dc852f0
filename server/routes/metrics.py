"""The metrics of this process, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from server.access import Guarded
from server.door import TheHouse, problems

router = APIRouter(tags=["operation"], route_class=Guarded)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(503)},
)
async def metrics(house: TheHouse) -> Response:
    """All metrics in Prometheus' text format. Answers also when every thread is busy."""
    body, content_type = await house.aside(house.watch.metrics.exposition)
    return Response(body, headers={"Content-Type": content_type})
