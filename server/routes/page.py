"""The web pages: one frame for all, files that are served as they are, and the library that draws their charts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from server.charts import ChartLibrary
from server.door import the_house

_HERE: Final = Path(__file__).parent.parent
PAGES: Final = {"/": "Search", "/operate": "Operate", "/evaluate": "Evaluate"}
_FRESH: Final = {"Cache-Control": "no-cache"}  # ask again every time: the ETag of a file makes that cheap


class _Files(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_FRESH)
        return response


def install(app: FastAPI) -> None:
    library = ChartLibrary(app.state.house.settings.home / "cache")
    loader = FileSystemLoader(_HERE / "pages")
    frames = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    frames.globals["pages"] = [(f".{path}" if path == "/" else path[1:], name) for path, name in PAGES.items()]
    templates = Jinja2Templates(env=frames)

    async def page(request: Request) -> Response:
        name = PAGES[request.url.path.removeprefix(request.scope.get("root_path", ""))]
        return templates.TemplateResponse(request, f"{name.lower()}.html", headers=_FRESH)

    async def charts(request: Request) -> Response:
        packed = await the_house(request).workers.run(library.read)
        tag = f'"{library.version}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag, "Content-Encoding": "gzip"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(packed, headers=headers, media_type="text/javascript")

    for path in PAGES:
        app.add_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_route("/vendor/vega.js", charts, methods=["GET"], include_in_schema=False)
    app.mount("/web", _Files(directory=_HERE / "web"), name="web")
