"""The HTTP application, assembled."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fastapi import FastAPI
from starlette.types import Scope

from server import access, openapi, problems
from server.door import House
from server.evaluations import Evaluations
from server.guard import check_open_door
from server.keys import Keys
from server.middleware import BodyLimit, Envelope
from server.operate.errors import Watching
from server.routes import (
    anserini,
    catalog,
    documents,
    evaluations,
    health,
    interleaving,
    jobs,
    keys,
    metrics,
    operate,
    page,
    people,
    releases,
    rerank,
    search,
    ubi,
)
from server.service import Service
from server.settings import Settings
from server.watch import Watch
from server.workers import Workers

log = logging.getLogger("clickwise.app")

ROUTES: Final = (
    search,
    documents,
    people,
    catalog,
    interleaving,
    jobs,
    evaluations,
    operate,
    health,
    metrics,
    keys,
    releases,
    rerank,
    ubi,
    anserini,  # last, as it leaves the index's name open in its path: what is named takes precedence
)
"""The modules of all routes but the pages'."""

DESCRIPTION = """Search that learns from what each searcher clicks.

`POST /v1/search` asks, `POST /v1/feedback` tells what a person did with an answer, and `POST /v1/search` with the
`query_id` ranks again with all that is known by then. Errors are `application/problem+json`: `detail` says what is
wrong, `advice` what to do about it."""


def create_app(
    settings: Settings,
    *,
    open_service: Callable[[Settings], Service] = Service.open,
    on_warm: Callable[[BaseException | None], None] | None = None,
    evaluations: Evaluations | None = None,
) -> FastAPI:
    """The application. It answers /healthz at once, and everything else when the service is open and warm.

    `on_warm` is called, from another thread, with None when that is so or with what went wrong; left out, a failure is
    logged. `evaluations` reads the reports that the pages show; left out, they show none.
    """
    house = House(settings, Workers(settings.threads, settings.max_waiting), Watch(settings, _version()))
    house.evaluations = evaluations

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stopping = threading.Event()
        house.recent.start()
        house.workers.begin(_start, house, open_service, on_warm or _log_failure, stopping)
        yield
        stopping.set()
        await asyncio.to_thread(house.close)
        house.recent.stop()

    app = FastAPI(
        title="Clickwise",
        version=_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,  # a body without a Content-Type is taken for JSON
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # `Watch` does it
    )
    app.state.house = house
    problems.install(app)
    for routes in ROUTES:
        access.check(routes.router.routes)
        app.include_router(routes.router)
    page.install(app)
    access.check(app.routes)
    app.add_middleware(BodyLimit, limit_of=_body_limits(settings))
    app.add_middleware(Envelope, watch=house.watch)
    app.add_middleware(Watching, recent=house.recent)  # added last: the outermost
    openapi.install(app)
    return app


def _start(
    house: House,
    open_service: Callable[[Settings], Service],
    on_warm: Callable[[BaseException | None], None],
    stopping: threading.Event,
) -> None:
    with ExitStack() as closing:
        try:
            service = open_service(house.settings)
            closing.callback(service.close)
            check_open_door(house.settings, lambda: any(key.valid for key in Keys(service.store).all()))
            service.warm_up(stopping.is_set)
            closing.pop_all()
            house.service = service
        except Exception as error:
            house.failed = error
    on_warm(house.failed)


def _log_failure(failure: BaseException | None) -> None:
    if failure is not None:
        log.error("the service could not start", exc_info=failure)


def _body_limits(settings: Settings) -> Callable[[Scope], tuple[int, str]]:
    def limit_of(scope: Scope) -> tuple[int, str]:
        if scope["path"] == "/v1/documents:bulk" or scope["path"].startswith("/ubi/"):
            return settings.max_bulk_bytes, "max_bulk_bytes"
        if scope["path"].startswith("/v1/documents/") or scope["path"].endswith("/rerank"):
            return settings.max_document_bytes, "max_document_bytes"
        return settings.max_body_bytes, "max_body_bytes"

    return limit_of


def _version() -> str:
    try:
        return version("clickwise")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
