"""What the routes share: the service once it is ready, the threads that work for it, and documented problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from server.problems import NotReadyError
from server.schemas import Problem
from server.service import Service
from server.settings import Settings
from server.workers import Workers

A = TypeVar("A", bound=BaseModel | None)


@dataclass(slots=True)
class House:
    """The state of a running server. `service` is None until the warm-up is done, or for ever if it `failed`."""

    settings: Settings
    workers: Workers
    service: Service | None = None
    failed: BaseException | None = None

    def ready(self) -> Service:
        """Raises NotReadyError before and without a successful warm-up."""
        if self.failed is not None:
            raise NotReadyError(f"The service could not start: {self.failed}", "Its log tells more; start it again.")
        if self.service is None:
            raise NotReadyError("The service is warming up.", "Try again in a moment.")
        return self.service


class Door:
    """Does a route's work in a thread and writes the answer there, too."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.service = house.ready()

    async def answer(self, work: Callable[[], A], status: Callable[[A], int] = lambda _: 200) -> Response:
        """The result of `work` as JSON; None as 204."""

        def response() -> Response:
            result = work()
            if result is None:
                return Response(status_code=204)
            return Response(result.model_dump_json(), status(result), media_type="application/json")

        return await self._house.workers.run(response)

    async def run(self, work: Callable[[], None]) -> None:
        """Work that answers nothing yet."""
        await self._house.workers.run(work)


def the_house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def the_door(request: Request) -> Door:
    return Door(the_house(request))


TheHouse = Annotated[House, Depends(the_house)]
TheDoor = Annotated[Door, Depends(the_door)]

_MEANINGS = {
    400: "The body is not JSON.",
    404: "Something that was named does not exist.",
    409: "The request contradicts what was recorded, or another process writes to the index.",
    413: "The body is larger than the settings allow.",
    422: "The request cannot be used; `field` says which part.",
    503: "Not ready yet, too busy, or the store or index cannot be written.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of a route's errors."""
    return {status: {"model": Problem, "description": _MEANINGS[status]} for status in statuses}
