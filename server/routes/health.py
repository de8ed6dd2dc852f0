"""Whether the process lives, and whether it can answer searches. Neither waits for a thread."""

from __future__ import annotations

from fastapi import APIRouter

from server.door import TheHouse, problems
from server.schemas import HealthAnswer

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """The process answers."""
    return HealthAnswer(status="ok")


@router.get("/readyz", responses=problems(503))
async def readyz(house: TheHouse) -> HealthAnswer:
    """The indexes are open and warm."""
    house.ready()
    return HealthAnswer(status="ready")
