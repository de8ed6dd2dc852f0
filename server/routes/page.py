"""The web pages: files that are served as they are, and the library that draws their charts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from server.charts import ChartLibrary
from server.door import the_house

WEB: Final = Path(__file__).parent.parent / "web"
PAGES: Final = {"/": "index.html", "/operate": "operate.html", "/evaluate": "evaluate.html"}
_FRESH: Final = {"Cache-Control": "no-cache"}  # ask again every time: an ETag makes that cheap


class _Files(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_FRESH)
        return response


async def _page(request: Request) -> Response:
    return FileResponse(WEB / PAGES[request.url.path.removeprefix(request.scope.get("root_path", ""))], headers=_FRESH)


def install(app: FastAPI) -> None:
    library = ChartLibrary(app.state.house.settings.home / "cache")

    async def charts(request: Request) -> Response:
        packed = await the_house(request).workers.run(library.read)
        tag = f'"{library.version}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag, "Content-Encoding": "gzip"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(packed, headers=headers, media_type="text/javascript")

    for path in PAGES:
        app.add_route(path, _page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_route("/vendor/vega.js", charts, methods=["GET"], include_in_schema=False)
    app.mount("/web", _Files(directory=WEB), name="web")
