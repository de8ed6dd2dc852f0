"""What the operating system calls in this process when it gets a signal, kept while a library would change it.

The JVM lives on signals: a reference to nothing, or a thread that is to pause, is a SIGSEGV that it handles and goes on
from. Whoever takes that signal from it (Ray does, when a process connects to a cluster and again when it leaves) turns
everyday events of Java into crashes. Python's `signal` does not see such handlers, so the C library is asked.
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

SIGNALS: Final = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTERM)
_SIZE: Final = 512
"""Bytes: more than a `struct sigaction` has on any system."""


@contextmanager
def signals_kept() -> Iterator[None]:
    """Whatever the block does to the handlers of `SIGNALS` is undone at its end."""
    before = {number: action(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            _libc().sigaction(number, handler, None)


def action(number: int) -> Any:
    """The process's `struct sigaction` of a signal, as bytes in a buffer of C."""
    buffer = ctypes.create_string_buffer(_SIZE)
    _libc().sigaction(number, None, buffer)
    return buffer


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
