"""What every route asks of its caller, in one table. A route that the table does not name cannot be made.

A new route: a line in `NEEDS`, and `route_class=Guarded` on its router. Callers without what a route needs get 401 or
403 before their body is read. `GET /v1/whoami` tells a page or a client what its key may do: 401 there means that the
service wants a key.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute

from server.door import the_house
from server.guard import Need
from server.schemas import Problem

NEEDS: Final[Mapping[str, Need]] = {
    "GET /healthz": "nothing",
    "GET /livez": "nothing",
    "GET /readyz": "nothing",
    "GET /metrics": "read",
    "GET /v1/whoami": "any",
    "POST /v1/search": "read",
    "POST /v1/feedback": "feedback",
    "GET /v1/documents/{document_id}": "read",
    "PUT /v1/documents/{document_id}": "write",
    "DELETE /v1/documents/{document_id}": "write",
    "POST /v1/documents:bulk": "write",
    "DELETE /v1/people/{person_id}": "admin",
    "POST /v1/jobs": "admin",
    "GET /v1/jobs": "admin",
    "GET /v1/jobs/{job_id}": "admin",
    "POST /v1/jobs/{job_id}:cancel": "admin",
    "GET /v1/indexes": "read",
    "GET /v1/pipelines": "read",
    "GET /v1/interleaving": "read",
    "POST /rerank": "read",
    "POST /v1/rerank": "read",
    "POST /v2/rerank": "read",
    "GET /info": "read",
    "POST /ubi/queries": "feedback",
    "POST /ubi/events": "feedback",
    "GET /v1/{index}/search": "read",
    "GET /v1/{index}/doc/{document_id}": "read",
    "GET /v1/evaluations": "read",
    "GET /v1/evaluations:compare": "read",
    "GET /v1/evaluations/{run}": "read",
    "GET /v1/evaluations/{run}/topics": "read",
    "GET /v1/evaluations/{run}/topic": "read",
    "GET /v1/operation/traffic": "read",
    "GET /v1/operation/clicks": "read",
    "GET /v1/operation/errors": "admin",
    "GET /v1/experiments": "read",
    "GET /admin/releases": "admin",
    "POST /admin/indexes/{name}:activate": "admin",
    "POST /admin/models/{name}:activate": "admin",
    "POST /admin/click-models:activate": "admin",
    "GET /admin/keys": "admin",
    "POST /admin/keys": "admin",
    "DELETE /admin/keys/{key_id}": "admin",
}
"""Method and path -> what it needs: a scope (read, feedback, write, admin), any key, or nothing."""

OPEN: Final = frozenset({"/", "/operate", "/evaluate", "/vendor/vega.js", "/web", "/openapi.json"})
"""What is served as it is, to everybody: the pages' files and the description of the API. No data of anybody's."""


_SENDING: Final = frozenset({"POST", "PUT"})


class Guarded(APIRoute):
    """A route of the table: the guard is asked first.

    Raises LookupError when it is made for a path that the table lacks.
    """

    @property
    def need(self) -> Need:
        """What it asks of its caller."""
        found = {NEEDS.get(f"{method} {self.path_format}") for method in self.methods or ()}
        need = found.pop()
        if found or need is None:
            raise LookupError(f"Say in server.access.NEEDS what {self.methods} {self.path_format} needs.")
        return need

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, need = super().get_route_handler(), self.need
        if need == "nothing":
            return handle

        async def guarded(request: Request) -> Response:
            house = the_house(request)
            request.state.caller = await house.guard.admit(request, need)
            if request.method in _SENDING and need != "admin":
                # Before the body is read: who is turned away should cost little.
                house.admit("writes" if need == "write" else "answers")
            return await handle(request)

        return guarded


def check(routes: Iterable[BaseRoute]) -> None:
    """Raises LookupError for a route that is neither guarded nor known to be open to everybody."""
    for route in routes:
        path = getattr(route, "path", None)
        if path is not None and not isinstance(route, Guarded) and path not in OPEN:
            raise LookupError(f"{path} is open to everybody: give its router route_class=Guarded.")


def document(schema: dict[str, Any]) -> None:
    """Add to an OpenAPI document which scope every operation needs, how keys are sent, and the answers of the guard."""
    schema["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    problem = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            need = NEEDS[f"{method.upper()} {path}"]
            if need == "nothing":
                continue
            operation["security"] = [{"bearer": []}, {"header": []}]
            operation["x-scope"] = need
            for status, meaning in _ANSWERS.items():
                operation["responses"].setdefault(status, {"description": meaning, "content": dict(problem)})


_ANSWERS: Final = {
    "401": "No key was sent, or none that is valid.",
    "403": "The key lacks the scope of this route.",
    "429": "Too many requests, from this caller or altogether: Retry-After says when to come again.",
}
