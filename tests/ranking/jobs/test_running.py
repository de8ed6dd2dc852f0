"""Running jobs: what resumes, what is refused, what is rejected."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.errors import ConflictError, InputError
from index.index import Index
from index.types import Document
from ranking.jobs import Done, InProcess, Job, Part, Report, Task, run
from ranking.jobs.engine import Advance
from ranking.jobs.running import TooManyRejects

ROWS = 40


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """40 queries in row groups of ten, every one with three candidates."""
    topics = ["coffee", "sailing", "python", "medicine", "astronomy"]
    table = pa.table(
        {
            "query_id": [f"q{i}" for i in range(ROWS)],
            "query": [f"{topics[i % 5]} part {i}" for i in range(ROWS)],
            "documents": [[f"{topics[(i + k) % 5]}-{(i + k) % 12:02d}" for k in range(3)] for i in range(ROWS)],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=10)
    return tmp_path / "rows.parquet"


@dataclass
class Breaking:
    """An engine whose power fails after some parts."""

    after: int
    name = "breaking"
    workers = 1

    def run(self, task: Task, parts: Sequence[Part], advance: Advance, stop: threading.Event) -> Iterator[Done]:
        for number, done in enumerate(InProcess().run(task, parts, advance, stop)):
            if number == self.after:
                raise KeyboardInterrupt
            yield done


def job_for(index: Index, rows: Path, out: Path, **options: Any) -> Job:
    given = {"index": str(index.path), "pipeline": "bm25", "part_rows": 10, **options}
    return Job("rerank", str(rows), str(out), given)


def content(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(out.glob("part-*"))}


def test_a_job_that_was_interrupted_goes_on_and_its_output_is_the_same_bytes(
    lexical_index: Index, rows: Path, tmp_path: Path
) -> None:
    run(job_for(lexical_index, rows, tmp_path / "whole"))
    job = job_for(lexical_index, rows, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        run(job, Breaking(after=2))
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "broken").glob("part-*")}
    summary = run(job)
    # The third part was whole when the power failed, though nobody had heard of it.
    assert (summary.rows, summary.resumed, summary.parts) == (ROWS, 30, 4)
    assert content(tmp_path / "broken") == content(tmp_path / "whole")
    assert all((tmp_path / "broken" / name).stat().st_mtime_ns == time for name, time in times.items())


def test_a_finished_job_is_found_done(lexical_index: Index, rows: Path, tmp_path: Path) -> None:
    job = job_for(lexical_index, rows, tmp_path / "out")
    first, again = run(job), run(job, Breaking(after=0))
    assert (again.rows, again.resumed) == (first.rows, ROWS)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "_lock", "_manifest.json", *(f"part-{i:05d}.parquet" for i in range(4))
    ]  # fmt: skip


def test_what_has_changed_is_named(lexical_index: Index, rows: Path, tmp_path: Path) -> None:
    run(job_for(lexical_index, rows, tmp_path / "out"))
    with pytest.raises(ConflictError, match=r"limit was 1000 and is 5\."):
        run(job_for(lexical_index, rows, tmp_path / "out", limit=5))
    with pytest.raises(ConflictError, match=r"something else: pipeline was bm25 \(\w+\) and is bm25-qe \(\w+\)\. Put"):
        run(job_for(lexical_index, rows, tmp_path / "out", pipeline="bm25-qe"))
    pq.write_table(pq.read_table(rows).slice(1), rows, row_group_size=10)
    with pytest.raises(ConflictError, match="input was 1 file of"):
        run(job_for(lexical_index, rows, tmp_path / "out"))
    assert run(job_for(lexical_index, rows, tmp_path / "out"), overwrite=True).rows == ROWS - 1


def test_a_change_of_the_index_is_not_one_of_the_pipeline(
    new_index: Callable[..., Index], rows: Path, tmp_path: Path
) -> None:
    index = new_index(vectors=False)
    run(job_for(index, rows, tmp_path / "out"))
    index.upsert([Document("coffee-00", "Tea", "No coffee at all.")])
    changed = r"something else: index was own \((\w+), commit \d+\) and is own \(\1, commit \d+\)\. Put"
    with pytest.raises(ConflictError, match=changed):
        run(job_for(index, rows, tmp_path / "out"))
    index = new_index(vectors=False, documents=[Document("coffee-00", "Tea", "Another index.")], overwrite=True)
    with pytest.raises(ConflictError, match=r"something else: index was own \((\w+), commit \d+\) and is own \((?!\1)"):
        run(job_for(index, rows, tmp_path / "out"))


def test_a_stopped_job_says_so_and_goes_on(lexical_index: Index, rows: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    reports: list[Report] = []

    def watch(report: Report) -> None:
        reports.append(report)
        if report.done >= 10:
            stop.set()

    job = job_for(lexical_index, rows, tmp_path / "out")
    summary = run(job, on_report=watch, stop=stop)
    assert summary.stopped
    assert summary.rows == 10
    assert [report.stage for report in reports][:3] == ["reading", "starting", "working"]
    assert not run(job).stopped


def test_another_run_on_the_same_output_is_kept_out(lexical_index: Index, rows: Path, tmp_path: Path) -> None:
    job = job_for(lexical_index, rows, tmp_path / "out")

    def again(report: Report) -> None:
        if report.stage == "working":
            with pytest.raises(ConflictError, match="Another run is writing"):
                run(job)

    run(job, on_report=again)


def test_files_of_somebody_else_are_left_alone(lexical_index: Index, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ConflictError, match="holds files already"):
            run(job_for(lexical_index, rows, tmp_path / "out"), overwrite=overwrite)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_an_output_that_cannot_be_a_folder_is_told_so(lexical_index: Index, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for out in (tmp_path / "notes", tmp_path / "notes" / "in"):
        for overwrite in (False, True):
            with pytest.raises(InputError, match=r"notes is a file\. Name a folder"):
                run(job_for(lexical_index, rows, out), overwrite=overwrite)
    assert (tmp_path / "notes").read_text() == "mine"


def test_rows_that_cannot_be_used_are_rejected_with_their_reasons(lexical_index: Index, tmp_path: Path) -> None:
    lines = [
        b'{"query_id": "good", "query": "coffee"}',
        b'{"query_id": "gone", "query": "coffee", "documents": ["coffee-00", "tea-00"]}',
        b'{"query_id": "long", "query": "' + b"x" * 10_001 + b'"}',
        b'{"query_id": "bytes", "query": "caf\xe9"}',
        b'{"query_id": "half", "query": "\\ud800"}',
        b"no json",
        b'{"query_id": "twice", "query": "a", "documents": ["coffee-00", "coffee-00"]}',
        b'{"query_id": "odd", "query": "a", "documents": {"a": 1}}',
        b'{"query_id": "field", "query": "coffee", "filter": "colour == 1"}',
        b'{"query": "coffee"}',
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    out = tmp_path / "out"
    summary = run(job_for(lexical_index, tmp_path / "rows.jsonl", out))
    rejects = [json.loads(line) for line in (out / "_rejects.jsonl").read_text().splitlines()]
    assert summary.rejected == len(lines) - 1
    assert [reject["row"] for reject in rejects] == list(range(2, len(lines) + 1))
    assert [reject["reason"] for reject in rejects] == [
        "unknown document", "too long", "bad UTF-8", "bad UTF-8", "malformed", "malformed", "malformed", "bad filter",
        "malformed",
    ]  # fmt: skip
    assert set(pq.read_table(out)["query_id"].to_pylist()) == {"good"}


def test_a_row_of_another_shape_is_named_with_its_fault(lexical_index: Index, tmp_path: Path) -> None:
    """In words of the row, not of the library that would have stored it; a number is an id like any other."""
    wrong = {
        '{"query_id": 1, "query": "a", "documents": "coffee-00"}': ("1", "documents is no list"),
        '{"_id": "2", "query": "a", "texts": "coffee"}': ("2", "texts is no list"),
        '{"qid": "3", "query": "a", "feedback": ["coffee-00"]}': (
            "3",
            "feedback is no list of document, relevance, weight",
        ),
        '{"query_id": "4", "query": }': (None, "it is not JSON (Expecting value at column 28)"),
        '{"query_id": "5\\ud800", "query": "a", "scores": 1}': ("5?", "scores is no list"),
        '{"query_id": "6", "query": "a", "documents": [7]}': ("6", "7 not in the index"),
    }
    (tmp_path / "rows.jsonl").write_text("\n".join(wrong))
    run(job_for(lexical_index, tmp_path / "rows.jsonl", tmp_path / "out"))
    rejects = [json.loads(line) for line in (tmp_path / "out" / "_rejects.jsonl").read_text().splitlines()]
    assert [(reject["query_id"], reject["detail"]) for reject in rejects] == list(wrong.values())


def test_too_many_rejects_end_the_job(lexical_index: Index, tmp_path: Path) -> None:
    lines = ['{"query_id": "a", "query": "b", "documents": ["nothing"]}'] * 25
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    job = job_for(lexical_index, tmp_path / "rows.jsonl", tmp_path / "out", max_rejects=5)
    with pytest.raises(TooManyRejects, match="10 rows were rejected, and at most 5 may be"):
        run(job)
    with pytest.raises(TooManyRejects):
        run(job, Breaking(after=0))  # what was rejected before counts


def test_options_and_kinds_that_are_none_are_named(lexical_index: Index, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'pipeline'"):
        run(job_for(lexical_index, rows, tmp_path / "out", pipelin="knn"))
    with pytest.raises(InputError, match="no kind of job 'bake'"):
        run(Job("bake", "a", str(tmp_path / "out")))
    job = job_for(lexical_index, rows, tmp_path / "out")
    assert Job.from_json(job.to_json()) == job
