"""Workers in processes of this machine, spawned, so that each starts a JVM of its own.

Each has one pipe. A thread here sends what is asked, another one takes the answers, so that whoever asks never waits
for a process that does not read. A process that dies fails what it was asked, and the next question starts a new one.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import pickle
import queue
import signal
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from index.errors import UnavailableError
from index.sharded.workers import MOST_WAITING, Lazy, failed

_PAUSE = 1.0  # seconds between two starts of a process that dies


class ProcessWorkers:
    """A process for each object."""

    def __init__(self, make: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], at_once: int) -> None:
        self._places = [_Place(number, make, args, at_once) for number, args in enumerate(arguments)]
        self._ended = weakref.finalize(self, _end, self._places)

    def __len__(self) -> int:
        return len(self._places)

    def ask(self, number: int, method: str, *args: Any) -> Future[Any]:
        return self._places[number].ask(method, args)

    def close(self) -> None:
        self._ended()

    def process_ids(self) -> list[int | None]:
        """The processes that run now, None where one has not been started or has died."""
        return [place.process_id for place in self._places]


def _end(places: Sequence[_Place]) -> None:
    for place in places:
        place.end()


class _Place:
    """One process at a time, and what it has been asked."""

    def __init__(self, number: int, make: Callable[..., Any], args: tuple[Any, ...], at_once: int) -> None:
        self.number, self._work = number, (make, args, at_once)
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._started = -_PAUSE
        self._ended = False

    @property
    def process_id(self) -> int | None:
        running = self._running
        return running.process.pid if running and running.process.is_alive() else None

    def ask(self, method: str, args: tuple[Any, ...]) -> Future[Any]:
        with self._lock:
            if self._ended:
                return failed(f"Shard {self.number} is closed.")
            if self._running is None or self._running.dead:
                if time.monotonic() < self._started + _PAUSE:
                    return failed(f"The process of shard {self.number} died and is about to be started again.")
                self._started = time.monotonic()
                self._running = _Running(self.number, self._work)
            return self._running.ask(method, args)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            if self._running is not None:
                self._running.end()


class _Running:
    """A process, its pipe and the two threads at this end of it."""

    def __init__(self, number: int, work: tuple[Any, ...]) -> None:
        self.number, self.dead = number, False
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, work), name=f"clickwise-shard-{number}", daemon=True
        )
        self.process.start()
        theirs.close()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        for task in (self._send, self._receive):
            threading.Thread(target=task, name=f"shard-{number}-{task.__name__}", daemon=True).start()

    def ask(self, method: str, args: tuple[Any, ...]) -> Future[Any]:
        answer: Future[Any] = Future()
        number = next(self._numbers)
        message = pickle.dumps((number, method, args), pickle.HIGHEST_PROTOCOL)
        with self._lock:
            if self.dead or len(self._asked) >= MOST_WAITING:
                return failed(f"Shard {self.number} {'has died' if self.dead else 'does not keep up'}.")
            self._asked[number] = answer
        self._outbox.put(message)
        return answer

    def end(self) -> None:
        self._outbox.put(None)
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._outbox.get()) is not None:
                self._pipe.send_bytes(message)

    def _receive(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, good, value = pickle.loads(self._pipe.recv_bytes())
                with self._lock:
                    answer = self._asked.pop(number, None)
                if answer is not None and answer.set_running_or_notify_cancel():
                    answer.set_result(value) if good else answer.set_exception(value)
        with self._lock:
            self.dead = True
            left = list(self._asked.values())
            self._asked.clear()
        self._outbox.put(None)
        for answer in left:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(UnavailableError(f"The process of shard {self.number} has died.", "Ask again."))
        self.process.join()


def _serve(pipe: Connection, work: tuple[Any, ...]) -> None:
    """The process: take questions until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks: that closes the pipe
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    make, args, at_once = work
    thing, sending = Lazy(make, args), threading.Lock()

    def answer(number: int, method: str, asked: tuple[Any, ...]) -> None:
        try:
            content = pickle.dumps((number, True, thing.call(method, asked)), pickle.HIGHEST_PROTOCOL)
        except BaseException as problem:
            content = pickle.dumps((number, False, portable(problem)), pickle.HIGHEST_PROTOCOL)
        with sending, contextlib.suppress(OSError):
            pipe.send_bytes(content)

    with ThreadPoolExecutor(at_once) as pool, contextlib.suppress(EOFError, OSError):
        while True:
            pool.submit(answer, *pickle.loads(pipe.recv_bytes()))


def portable(problem: BaseException) -> Exception:
    """The problem itself where it survives a pickle, else its words."""
    try:
        copy = pickle.loads(pickle.dumps(problem))
    except Exception:
        copy = None
    if isinstance(copy, Exception) and type(copy) is type(problem):
        return copy
    words = " ".join(f"{type(problem).__name__}: {problem}".split())
    return UnavailableError(f"A shard failed: {words}", "Look at its machine.")
