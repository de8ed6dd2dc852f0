"""What the process has freed goes back to the system."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

from server.memory import Tidying, give_back

BLOCK, COUNT = 60_000, 2_000  # bytes and blocks: small enough for malloc's heap, 120 MB in all


def resident_mb() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) // 1024


def test_free_pages_between_those_in_use_are_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    blocks, between = [], []
    for _ in range(COUNT):
        blocks.append(libc.malloc(BLOCK))
        ctypes.memset(blocks[-1], 1, BLOCK)
        between.append(libc.malloc(100))
    for block in blocks:
        libc.free(block)
    kept = resident_mb()
    give_back()
    assert resident_mb() < kept - 80
    for block in between:
        libc.free(block)


def test_it_is_done_again_and_again_until_the_end() -> None:
    done, often = [], threading.Event()

    def tidy() -> None:
        done.append(1)
        if len(done) == 3:
            often.set()

    tidying = Tidying(0.001, tidy)
    tidying.start()
    tidying.start()  # as a service that warms up again
    assert often.wait(30)
    tidying.close()
    count = len(done)
    assert not tidying._thread.is_alive()
    assert len(done) == count


def test_one_that_was_not_started_can_be_closed() -> None:
    Tidying().close()
