"""A Clickwise server as a process of its own, and clients that time it over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from eval.benchmarks.timing import say


@contextmanager
def running_server(home: Path) -> Iterator[str]:
    """The base URL of `clickwise serve` on a free loopback port, with the indexes under `home`."""
    with server_process(home) as (url, _):
        yield url


@contextmanager
def server_process(home: Path) -> Iterator[tuple[str, int]]:
    """The same, with the id of its process."""
    command = [str(Path(sys.executable).parent / "clickwise"), "serve", "--home", str(home), "--port", "0", "--json"]
    environment = {**os.environ, "CLICKWISE_LOG_LEVEL": "error"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the server did not start")
            yield json.loads(line)["url"].rstrip("/"), process.pid
        finally:
            process.terminate()


def time_requests(url: str, bodies: Sequence[dict[str, Any]], clients: int) -> tuple[list[float], float]:
    """Milliseconds of each POST /v1/search, and requests per second over all clients."""
    taken: list[list[float]] = [[] for _ in range(clients)]

    def work(client: int) -> None:
        with httpx.Client(base_url=url, timeout=60) as http:
            for body in bodies[client::clients]:
                start = time.perf_counter()
                http.post("/v1/search", json=body).raise_for_status()
                taken[client].append(1000 * (time.perf_counter() - start))

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    milliseconds = [value for client in taken for value in client]
    if len(milliseconds) < len(bodies):
        say(f"{len(bodies) - len(milliseconds)} requests failed")
    return milliseconds, len(milliseconds) / seconds
