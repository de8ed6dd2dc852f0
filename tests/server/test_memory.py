"""What the process has freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from server.memory import Tidying

ROOT = Path(__file__).parents[2]

SCRIPT = """
import ctypes, pathlib
from server.memory import give_back

def resident_mb():
    (line,) = (x for x in pathlib.Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) // 1024

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
blocks = []
for _ in range(2_000):  # 120 MB, in blocks that malloc takes from its heap, each before one that stays
    blocks.append(libc.malloc(60_000))
    ctypes.memset(blocks[-1], 1, 60_000)
    libc.malloc(5_000)
for block in blocks:
    libc.free(block)
kept = resident_mb()
give_back()
print(kept - resident_mb())
"""


def test_free_pages_between_those_in_use_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 80


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
