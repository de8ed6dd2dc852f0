"""What the tests of the page share: a corpus, a server for it, a watch on the browser, and words for what one does."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Locator, Page, Request, expect

from eval.browsing import Browser
from index.build import build_index
from index.index import Index
from index.types import Document
from ranking.config import load_specs
from server.app import create_app
from server.catalog import Catalog
from server.service import Service
from server.settings import Settings
from server.store import Store
from tests.fakes import HashingEncoder
from tests.server.traffic import fill

SNAKES = ["ball", "burmese", "carpet", "reticulated", "green tree", "blood", "rock", "olive", "water", "diamond"]
TOPICS = ["decorators", "generators", "modules", "closures", "threads", "metaclasses", "slices", "iterators", "sockets"]
EVIL = '<img src=x onerror="window.hacked=1">'
LONG = "A line about marathons.\n" * 6_000  # more than the reader shows at once


def corpus() -> Iterator[Document]:
    """Two meanings of one word, so that feedback has something to decide, and some documents with teeth."""
    for name in SNAKES:
        text = f"The {name} python is a snake. It hunts small mammals at night, and kills its prey by constriction."
        yield Document(f"snake/{name}", f"The {name} python", text, {"kind": "animal", "metres": len(name)})
    for topic in TOPICS:
        text = f"How Python, the programming language, does {topic}: code, functions and modules.\n\n    >>> go()"
        yield Document(f"code.{topic}", f"Python {topic}", text, {"kind": "language", "tags": ["code", "python"]})
    yield Document("evil", f"{EVIL}<script>window.hacked=1</script>", f"A trap {EVIL} for the page", {"kind": EVIL})
    yield Document("emoji", "Smileys", "\U0001f40d\U0001f40d a zebra between two \U0001f40d snakes")
    yield Document("long", "Marathons", LONG)
    yield Document("boa", "Keeping a boa", "It wants a vivarium with a heating lamp and a thermostat.")
    yield Document("lamp", "The vivarium", "Choose the heating lamp and the thermostat by the size of the vivarium.")


# The tests of the page know what is found by which words, so theirs is a `smoothed` that ranks only what has the words.
PIPELINES = """
[pipelines.smoothed]
stages = [
  { name = "qe", part = "rocchio" },
  { name = "knn", part = "knn", candidates = "qe" },
  { name = "probe", part = "probe", candidates = "qe" },
  { name = "sum", part = "combsum", inputs = ["probe", "knn", "qe"], weights = [1,1,0.25], normalisation = "z-score" },
]
"""


@contextmanager
def serving(home: Path, runs: Path | None = None, **more: Any) -> Iterator[str]:
    """The address of the real application, with one small index and the runs of a folder, on a free port of this
    machine. `more` are settings."""
    encoder = HashingEncoder()
    build_index(home / "pets", corpus(), encoder=encoder)
    (home / "clickwise.toml").write_text(PIPELINES, encoding="utf-8")

    def open_service(settings: Settings) -> Service:
        catalog = Catalog({"pets": Index.open(home / "pets", encoder=encoder)}, load_specs(home / "clickwise.toml"))
        store = Store.open(settings.store_address)
        fill(store, "pets", 600)
        return Service(catalog, store, settings)

    warm = threading.Event()
    patient = {"max_deadline_ms": 600_000}  # nobody is turned away because the machine is busy
    settings = Settings(home=home, indexes={"pets": home / "pets"}, evaluations=runs, **patient, **more)
    evaluations = Browser(settings.evaluations_folder)
    app = create_app(settings, open_service=open_service, on_warm=lambda _: warm.set(), evaluations=evaluations)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert warm.wait(120)
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(300)  # a request that is still under way would be left in the middle


@dataclass
class Watch:
    """What must not happen on a page: messages on its console, exceptions, requests to elsewhere."""

    origin: str
    trouble: list[str] = field(default_factory=list)
    posts: list[tuple[str, Any]] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        page.on("console", lambda message: self.trouble.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.trouble.append(f"exception: {error}"))
        page.on("request", self._request)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self.origin + "/"):
            self.trouble.append(f"request to {request.url}")
        if request.method == "POST":
            self.posts.append((urlsplit(request.url).path, request.post_data_json))

    def expected(self, page: Page, text: str, times: int) -> None:
        """The page has reported this trouble, so often, and no other; forget it. Reports may come after the page."""
        for _ in range(1000):
            if len(self.trouble) >= times:
                break
            page.evaluate("() => new Promise(requestAnimationFrame)")
        assert [text in line for line in self.trouble] == [True] * times
        self.trouble.clear()

    def sent(self, path: str) -> list[dict[str, Any]]:
        return [body for where, body in self.posts if where == path]


Opener = Callable[..., tuple[Page, Watch]]


def ids(page: Page) -> list[str]:
    """The documents shown, in their order."""
    shown: list[str] = page.locator("#hits .hit").evaluate_all("items => items.map((item) => item.dataset.id)")
    return shown


def hit(page: Page, document: str) -> Locator:
    return page.locator(f'.hit[data-id="{document}"]')


def mark(page: Page, document: str, act: str) -> None:
    """Press a judgement of a hit and wait for the round that follows."""
    with reranked(page):
        hit(page, document).locator(f"[data-act={act}]").click()


@contextmanager
def reranked(page: Page) -> Iterator[None]:
    """Wait, after what is done inside, for the next round of the ranking."""
    found = re.search(r"round (\d+)", page.locator("#status").inner_text())
    following = int(found[1]) + 1 if found else 2
    yield
    expect(page.locator("#status")).to_contain_text(f"round {following}:")


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def cut_in_cards(page: Page) -> list[str]:
    """What reaches out of its card, where it cannot be scrolled to, also inside a chart."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("main section *")].filter((node) => {
          const card = node.closest("section").getBoundingClientRect(), own = node.getBoundingClientRect();
          const seen = own.width > 1 && !node.closest(".scroll");
          return seen && (own.right > card.right + 0.5 || own.left < card.left - 0.5);
        }).map((node) => node.outerHTML.slice(0, 200))"""
    )
    return found


def faults(page: Page) -> list[str]:
    """What axe-core complains about: the rules of WCAG 2.2 A and AA, and best practice."""
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['html'][:200]} {node['failureSummary']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


def contrasts(page: Page, selectors: Sequence[str]) -> dict[str, float]:
    """The contrast of the text with what is behind it, by WCAG 2, for the first node of each selector."""
    return dict(page.evaluate(_CONTRAST, list(selectors)))


_CONTRAST = """selectors => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    const colour = rgb(getComputedStyle(node).backgroundColor);
    return colour[3] === 255 ? colour : behind(node.parentElement);
  };
  return selectors.map((selector) => {
    const node = document.querySelector(selector);
    const [a, b] = [rgb(getComputedStyle(node).color), behind(node)].map(luminance);
    return [selector, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
}"""
