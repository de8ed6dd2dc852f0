"""Memory that the process has freed, given back to the system.

A peak (Java compiling a method, a long text encoded) is freed in pieces between others that stay, and glibc keeps such
pages for the process: each peak that finds no room between them makes it larger, for good. Once a minute they are given
back, which takes one or two milliseconds; on two cores some 30 of 550 MB.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Final

SECONDS: Final = 60.0


def give_back() -> None:
    """Hand free pages to the system, wherever they lie: malloc_trim(3). Does nothing where the C library has none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # musl has none
        trim(0)


class Tidying:
    """Does so again and again, in a thread of its own, from `start` to `close`."""

    def __init__(self, seconds: float = SECONDS, tidy: Callable[[], None] = give_back) -> None:
        self._seconds, self._tidy = seconds, tidy
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clickwise-tidying", daemon=True)

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._tidy()
