"""The charting library: made once, kept, made anew where the file is damaged."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from index.errors import UnavailableError
from server.charts import ChartLibrary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("charts") / "cache"


def test_the_library_is_made_once_and_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = ChartLibrary(folder)
    packed = library.read()
    text = gzip.decompress(packed).decode()
    assert "window.vegaEmbed" in text
    assert "window.vegaLite" in text
    assert [path.name for path in folder.iterdir()] == [f"vega-{library.version}.js.gz"]

    def refuse(*_: object, **__: object) -> None:
        raise OSError("not again")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert library.read() == packed
    assert ChartLibrary(folder).read() == packed
    for damage in (packed[:1000], b"nonsense", b""):
        (folder / f"vega-{library.version}.js.gz").write_bytes(damage)
        with pytest.raises(UnavailableError, match="The charts cannot be drawn"):
            ChartLibrary(folder).read()


def test_it_is_served_as_a_script(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChartLibrary, "read", lambda _: gzip.compress(b"window.vegaEmbed = 1;"))
    answer = client.get("/vendor/vega.js")
    assert answer.text == "window.vegaEmbed = 1;"
    assert answer.headers["content-type"].startswith("text/javascript")
    again = client.get("/vendor/vega.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
