"""The engine of a Ray cluster of two nodes: the output of the other engines, and what a worker's death costs."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from index.errors import ConflictError, InputError, UnavailableError
from index.index import Index
from ranking.jobs import Done, Part, run
from ranking.jobs.engine import Advance
from ranking.jobs.engines import engine_of
from ranking.jobs.ray_engine import RayEngine
from tests.ranking.jobs.conftest import rerank_job

PARTS = [Part(number, 10 * number, 10, {}) for number in range(6)]


@dataclass(frozen=True)
class Noting:
    """A task that notes on which node it did a part, and does as `trouble` says in part 2."""

    folder: Path
    trouble: str = ""

    def workers(self) -> set[str]:
        """The processes that have begun a part."""
        return {path.name.split("-")[2] for path in self.folder.glob("tried-*")}

    def open(self) -> Noting:
        if self.trouble == "refuse":
            raise ConflictError("The index has changed.", "Start anew.")
        return self

    def work(self, part: Part, advance: Advance) -> Done:
        first = not list(self.folder.glob(f"tried-{part.number}-*"))
        (self.folder / f"tried-{part.number}-{os.getpid()}").touch()
        if part.number == 2 and (self.trouble == "die always" or (self.trouble == "die once" and first)):
            os.kill(os.getpid(), signal.SIGKILL)
        if part.number == 2 and self.trouble == "bug":
            raise ZeroDivisionError("a bug")
        until = time.monotonic() + 60
        while self.trouble == "meet" and len(self.workers()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return Done(part.number, part.rows, 0, 0.0, {"gpu": int(os.environ.get("CUDA_VISIBLE_DEVICES", "") != "")})


def test_the_output_is_that_of_other_engines(ray_cluster: str, lexical_index: Index, tmp_path: Path) -> None:
    rows = [{"query_id": f"q{n:02d}", "query": f"wind {n} espresso heart"} for n in range(30)]
    rows[7]["feedback"] = [{"document": "sailing-03"}]  # type: ignore[assignment]
    rows[9]["feedback"] = [{"document": "nowhere"}]  # type: ignore[assignment]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = []
    for name, engine in (("here", None), ("there", RayEngine(ray_cluster, workers=2))):
        job = rerank_job(lexical_index, tmp_path / "rows.jsonl", tmp_path / name, pipeline="bm25-qe", part_rows=7)
        summary = run(job, engine)
        assert (summary.rows, summary.rejected) == (30, 1)
        content.append({file.name: file.read_bytes() for file in (tmp_path / name).glob("part-*")})
    assert content[0] == content[1]
    assert len(content[0]) == 5


@pytest.mark.kill
def test_a_worker_that_is_killed_costs_only_its_part(ray_cluster: str, tmp_path: Path) -> None:
    engine, heard = RayEngine(ray_cluster, workers=2, gpus=1), list[int]()
    done = list(engine.run(Noting(tmp_path, "die once"), PARTS, heard.append, threading.Event()))
    assert sorted(d.part for d in done) == [0, 1, 2, 3, 4, 5]
    assert sum(heard) == 60
    tried = [path.name.split("-") for path in tmp_path.glob("tried-*")]
    assert sorted(int(number) for _, number, _ in tried) == [0, 1, 2, 2, 3, 4, 5]
    assert {d.counts["gpu"] for d in done} <= {0, 1}


def test_workers_with_and_without_a_gpu_work_side_by_side(ray_cluster: str, tmp_path: Path) -> None:
    engine, task = RayEngine(ray_cluster, workers=2, gpus=1), Noting(tmp_path, "meet")
    done = list(engine.run(task, PARTS, lambda rows: None, threading.Event()))
    assert sorted(d.part for d in done) == [0, 1, 2, 3, 4, 5]
    assert len(task.workers()) == 2
    assert 0 < sum(d.counts["gpu"] for d in done) < 6
    with pytest.raises(InputError, match="3 of 2 workers"):
        RayEngine(ray_cluster, workers=2, gpus=3)


def test_failures_are_told_in_the_words_of_the_worker(ray_cluster: str, tmp_path: Path) -> None:
    engine = engine_of(f"ray:{ray_cluster}", workers=1, threads=1)

    def fail(trouble: str) -> list[Done]:
        return list(engine.run(Noting(tmp_path, trouble), PARTS[2:3], lambda rows: None, threading.Event()))

    with pytest.raises(ConflictError) as refused:
        fail("refuse")
    assert (refused.value.message, refused.value.advice) == ("The index has changed.", "Start anew.")
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*ZeroDivisionError: a bug"):
        fail("bug")
    with pytest.raises(UnavailableError, match="part 2 have died 3 times"):
        fail("die always")


def test_a_stop_begins_no_further_part(ray_cluster: str, tmp_path: Path) -> None:
    stop, done = threading.Event(), []
    for made in RayEngine(ray_cluster, workers=1).run(Noting(tmp_path), PARTS, lambda rows: None, stop):
        done.append(made)
        stop.set()
    assert len(done) == 1
