"""How far a long piece of work has come: a bar on stderr where a person watches, silence everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    import rich.progress

T = TypeVar("T")
_EVERY = 0.1  # seconds between two redraws

Watcher: TypeAlias = Callable[[str, int, "int | None"], None]
"""Is told a description, how many steps are done, and of how many, None where nobody knows."""
_watchers: list[Watcher] = []


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell every count of this process to somebody else, too, who watches from afar."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


class Progress:
    """Counts steps, and draws the count while the context is open and stderr is a terminal.

    `total` is the number of steps expected, None where nobody knows. `done` is right in every case, drawn or not:

        with Progress("Encoding", total=len(texts)) as progress:
            encoder.encode(texts, on_progress=progress.advance)
    """

    def __init__(self, description: str, total: int | None = None) -> None:
        self.description, self.total, self.done = description, total, 0
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None
        self._drawn = 0.0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = _bar(counted=self.total is not None)
            self._task = self._bar.add_task(self.description, total=self.total)
            self._bar.start()
        return self

    def advance(self, steps: int = 1) -> None:
        """`steps` more are done."""
        self.done += steps
        for watcher in _watchers:
            watcher(self.description, self.done, self.total)
        if self._bar is not None and self._task is not None:
            now = time.monotonic()
            if now - self._drawn >= _EVERY:
                self._drawn = now
                self._bar.update(self._task, completed=self.done)

    def show(self, description: str, done: int, total: int | None) -> None:
        """Where the work has come to, in other words than before."""
        changed = description.partition(",")[0] != self.description.partition(",")[0]
        self.description, self.done, self.total = description, done, total
        if self._bar is not None and self._task is not None:
            now = time.monotonic()
            if changed or now - self._drawn >= _EVERY:
                self._drawn = now
                self._bar.update(self._task, completed=done, total=total, description=description)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done)
            self._bar.stop()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and show how many have been taken. `total` defaults to their length where they have one."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(description, total) as progress:
        for item in items:
            yield item
            progress.advance()


def _bar(counted: bool) -> rich.progress.Progress:
    from rich import progress
    from rich.console import Console

    columns: list[progress.ProgressColumn] = [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=32),
        progress.MofNCompleteColumn() if counted else progress.TextColumn("{task.completed:,}"),
        progress.TimeElapsedColumn(),
    ]
    if counted:
        columns += [progress.TextColumn("left"), progress.TimeRemainingColumn()]
    # transient: the line goes when the work is done. Output is not redirected: stdout may be a pipe of results.
    return progress.Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )
