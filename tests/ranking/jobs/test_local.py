"""The engine of processes: what a worker's death costs, what its errors become."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from index.errors import ConflictError, UnavailableError
from ranking.jobs import Done, Part
from ranking.jobs.engine import Advance
from ranking.jobs.local import LocalEngine
from ranking.jobs.machine import Share, share

PARTS = [Part(number, 10 * number, 10, {}) for number in range(6)]


@dataclass(frozen=True)
class Scribbling:
    """A task that writes down which process did which part, and does as `trouble` says in part 2."""

    folder: Path
    trouble: str = ""

    def open(self) -> Scribbling:
        if self.trouble == "refuse":
            raise ConflictError("The index has changed.", "Start anew.")
        return self

    def work(self, part: Part, advance: Advance) -> Done:
        tried = self.folder / f"tried-{part.number}-{os.getpid()}"
        first = not list(self.folder.glob(f"tried-{part.number}-*"))
        tried.touch()
        if part.number == 2 and (self.trouble == "die always" or (self.trouble == "die once" and first)):
            os.kill(os.getpid(), signal.SIGKILL)
        if part.number == 2 and self.trouble == "bug":
            raise ZeroDivisionError("a bug")
        advance(part.rows)
        return Done(part.number, part.rows, 0, 0.0, {"threads": int(os.environ["OMP_NUM_THREADS"])})


def parts_done(task: Scribbling, heard: Callable[[int], None] = lambda rows: None, workers: int = 2) -> list[Done]:
    return list(LocalEngine(workers, threads=1).run(task, PARTS, heard, threading.Event()))


@pytest.mark.kill
def test_a_worker_that_is_killed_costs_only_its_part(tmp_path: Path) -> None:
    heard: list[int] = []
    done = parts_done(Scribbling(tmp_path, "die once"), heard.append)
    assert sorted(d.part for d in done) == [0, 1, 2, 3, 4, 5]
    assert sum(heard) == 60
    tried = [path.name.split("-") for path in tmp_path.glob("tried-*")]
    assert sorted(int(number) for _, number, _ in tried) == [0, 1, 2, 2, 3, 4, 5]
    assert all(d.counts["threads"] == 1 for d in done)


@pytest.mark.kill
def test_a_part_that_kills_every_worker_ends_the_job(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"part 2 have died 3 times, the last with exit code -9.*fewer workers"):
        parts_done(Scribbling(tmp_path, "die always"), workers=1)


def test_what_a_worker_refuses_is_raised_with_its_advice(tmp_path: Path) -> None:
    with pytest.raises(ConflictError) as refused:
        parts_done(Scribbling(tmp_path, "refuse"), workers=1)
    assert (refused.value.message, refused.value.advice) == ("The index has changed.", "Start anew.")


def test_a_bug_in_a_worker_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*ZeroDivisionError: a bug"):
        parts_done(Scribbling(tmp_path, "bug"), workers=1)


def test_a_stop_begins_no_further_part(tmp_path: Path) -> None:
    stop = threading.Event()
    done = []
    for made in LocalEngine(1, 1).run(Scribbling(tmp_path), PARTS, lambda rows: None, stop):
        done.append(made)
        stop.set()
    assert len(done) <= 2  # the second may have been under way


def test_workers_and_threads_after_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranking.jobs.machine.cpu_cores", lambda: 8)
    monkeypatch.setattr("ranking.jobs.machine.available_bytes", lambda: 64 * 2**30)
    assert share() == Share(8, 1)
    assert share(threads=4) == Share(2, 4)
    assert share(workers=2) == Share(2, 4)
    monkeypatch.setattr("ranking.jobs.machine.available_bytes", lambda: 3 * 2**30)
    assert share() == Share(2, 4)
    monkeypatch.setattr("ranking.jobs.machine.available_bytes", lambda: 2**20)
    assert share() == Share(1, 8)
