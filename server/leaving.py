"""How a server ends: it says that it is about to, finishes what it has begun, and exits with 0.

SIGTERM (what systemd, Docker and Kubernetes send): /readyz turns 503 at once while everything is still answered for the
setting `drain_seconds`, so that whoever balances the load can look elsewhere; then no connection is accepted any more,
and what is under way has `grace_seconds` to finish. A second SIGTERM skips the first part, and so does Ctrl-C.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import uvicorn


class Server(uvicorn.Server):
    """One that takes its leave first. `leave` is called when it is told to end."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain_seconds, self._leave = drain_seconds, leave
        self._draining: threading.Timer | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come."""
        self._leave()
        if sig != signal.SIGTERM or self._draining is not None or not self.started:
            super().handle_exit(sig, frame)
            return
        self._draining = threading.Timer(self._drain_seconds, super().handle_exit, (sig, frame))
        self._draining.daemon = True
        self._draining.start()


def exit_in_order(_sig: int, _frame: FrameType | None) -> NoReturn:
    """The handler of SIGTERM around a server: it hands the signal on when it has shut down, and all is well then."""
    raise SystemExit(0)
