"""Whether the process lives, and whether it can answer searches. None of them waits for a thread of the workers."""

from __future__ import annotations

from fastapi import APIRouter

from server.access import Guarded
from server.door import TheHouse, problems
from server.problems import NotReadyError
from server.schemas_operation import HealthAnswer, ReadyAnswer

router = APIRouter(tags=["health"], route_class=Guarded)


@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """The process answers."""
    return HealthAnswer(status="ok")


@router.get("/livez")
async def livez() -> HealthAnswer:
    """The process answers, by the name that Kubernetes gives this question: restart it when this fails."""
    return HealthAnswer(status="ok")


@router.get("/readyz", responses=problems(503))
async def readyz(house: TheHouse) -> ReadyAnswer:
    """The indexes are open and warm, the store can be written, the models work: send requests only while this holds."""
    if house.leaving:
        raise NotReadyError("The service is about to end.", "Send requests elsewhere, or wait until it is back.")
    checks = await house.health.check(house.ready())
    return ReadyAnswer(status="ready", checks=dict.fromkeys(checks, "ok"))
