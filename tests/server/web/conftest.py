"""A browser and a server for the tests of the page; without a browser they skip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from eval.artefacts import write_results
from eval.config import parse_config
from eval.experiment import run_experiment
from tests.eval.conftest import TABLES, Place
from tests.fakes import HashingEncoder
from tests.server.web.browsing import Opener, Watch, serving

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


PATIENCE = 300_000  # milliseconds; only a busy machine comes near it
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on the path, nor in the variable CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def runs(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a small experiment, and once more under another name."""
    place = Place(tmp_path_factory.mktemp("experiment"))
    folder = place.folder / "runs"
    tables = {**TABLES, "rankers": {name: TABLES["rankers"][name] for name in ("bm25", "bm25-qe", "fused")}}
    experiment = parse_config({**tables, "data": str(place.folder)}, "test")
    write_results(run_experiment(experiment, place.store, encoder=HashingEncoder()), folder / "first")
    shutil.copytree(folder / "first", folder / "second")
    return folder


@pytest.fixture(scope="session")
def address(browser: Browser, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the application listens. Comes after the browser: without one nothing needs to be started."""
    with serving(tmp_path_factory.mktemp("home"), runs) as url:
        yield url


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Opener]:
    """Opens pages; when the test ends, nothing unexpected may have happened on them."""
    opened = []

    def visit(
        query: str | None = None, *, path: str = "/", width: int = 1200, height: int = 800, **context: Any
    ) -> tuple[Page, Watch]:
        context = {"reduced_motion": "reduce", **context}
        page = browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
        page.set_default_timeout(PATIENCE)
        page.add_init_script("setInterval = () => 0")  # nothing is looked at anew because a test took a minute
        watch = Watch(address)
        watch.attach(page)
        opened.append((page, watch))
        page.goto(address + (path if query is None else f"/?q={quote(query)}"))
        if query is not None:
            page.locator(".hit").first.wait_for()
        return page, watch

    yield visit
    for page, watch in opened:
        page.context.close()
        assert watch.trouble == []
