"""The engine of one machine: processes, each of which has its own JVM and models.

Started by spawn, for neither survives a fork. A process that dies (killed, out of memory) costs the part that it was
working on, which is given to a new one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final

from index.errors import ClickwiseError
from ranking.jobs.crew import LOOK, Crew
from ranking.jobs.engine import Advance, Task
from ranking.jobs.job import Done, Part
from ranking.jobs.machine import share

_END: Final = 5.0  # seconds that a worker has to end by itself


class LocalEngine:
    """Worker processes on this machine; their number and threads after the machine where they are not given."""

    name = "local"

    def __init__(self, workers: int | None = None, threads: int | None = None) -> None:
        chosen = share(workers, threads)
        self.workers, self.threads = chosen.workers, chosen.threads

    def run(self, task: Task, parts: Sequence[Part], advance: Advance, stop: threading.Event) -> Iterator[Done]:
        return _Crew(task, deque(parts), min(self.workers, len(parts)), self.threads).work(advance, stop)


@dataclass
class _Hand:
    """A worker process, and the part that it is working on."""

    process: SpawnProcess
    connection: Connection
    part: Part | None = None
    ready: bool = False


@dataclass
class _Crew(Crew):
    hands: list[_Hand] = field(default_factory=list, init=False)

    @property
    def busy(self) -> bool:
        return any(hand.part is not None for hand in self.hands)

    def employ(self) -> None:
        wanted = min(self.size, len(self.waiting) + sum(hand.part is not None for hand in self.hands))
        while len(self.hands) < wanted:
            self.hands.append(self._start())
        for hand in self.hands:
            if hand.ready and hand.part is None and self.waiting:
                hand.part = self.waiting.popleft()
                try:
                    hand.connection.send(hand.part)
                except OSError:  # it has died: `heard` finds out
                    return

    def heard(self, advance: Advance) -> Iterator[Done]:
        said = wait([hand.connection for hand in self.hands], timeout=LOOK)
        for hand in [hand for hand in self.hands if hand.connection in said]:
            try:
                kind, value = hand.connection.recv()
            except (EOFError, OSError):
                self._bury(hand)
                continue
            if kind == "failed":
                raise value
            if kind == "refused":
                error, message, advice = value
                raise error(message, advice)
            if kind == "ready":
                hand.ready, self.deaths[None] = True, 0
                advance(0)
            elif kind == "advance":
                advance(value)
            else:
                hand.part = None
                yield value

    def dismiss(self) -> None:
        """End all processes: those at work at once, the others by telling them."""
        for hand in self.hands:
            if hand.part is not None or not hand.ready:
                hand.process.terminate()
            hand.connection.close()
        for hand in self.hands:
            hand.process.join(_END)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.process.close()
        self.hands.clear()

    def _start(self) -> _Hand:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, self.task, self.threads), name="clickwise-job", daemon=True
        )
        process.start()
        theirs.close()  # so that its end is heard when it dies
        return _Hand(process, ours)

    def _bury(self, hand: _Hand) -> None:
        self.hands.remove(hand)
        hand.connection.close()
        hand.process.join(_END)
        code = hand.process.exitcode
        hand.process.close()
        self.lost(hand.part, f"with exit code {code}")


def _work(connection: Connection, task: Task, threads: int) -> None:
    """What a worker process does: parts come in, what came of them goes out, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to everybody; the other side ends us
    use_threads(threads)
    try:
        worker = task.open()
        connection.send(("ready", None))
        while True:
            part = connection.recv()
            connection.send(("done", worker.work(part, lambda rows: connection.send(("advance", rows)))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except ClickwiseError as error:
        connection.send(("refused", (type(error), error.message, error.advice)))  # pickling would lose the advice
    except Exception:
        connection.send(("failed", RuntimeError(f"A worker failed:\n{traceback.format_exc()}")))


def use_threads(threads: int) -> None:
    """Have numerical libraries compute on so many cores: those loaded already, and those to come."""
    from threadpoolctl import threadpool_limits

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)
    threadpool_limits(threads)
