"""The web page: files that are served as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

WEB: Final = Path(__file__).parent.parent / "web"
_FRESH: Final = {"Cache-Control": "no-cache"}  # ask again every time: an ETag makes that cheap


class _Files(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_FRESH)
        return response


async def _page(_: Request) -> Response:
    return FileResponse(WEB / "index.html", headers=_FRESH)


def install(app: FastAPI) -> None:
    app.add_route("/", _page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/web", _Files(directory=WEB), name="web")
