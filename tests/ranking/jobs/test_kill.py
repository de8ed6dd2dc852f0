"""The command killed in the middle, and how much memory a job takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.index import Index
from ranking.jobs import run
from ranking.jobs.reading import prepare, tables_of
from ranking.jobs.storage import Place
from tests.ranking.jobs.conftest import rerank_job

COMMAND = """
import os, signal, sys
from ranking.jobs import Job, run
from ranking.jobs.output import Output

killed_at, step = int(sys.argv[2]), sys.argv[3]
keep, mark = Output.keep, Output._mark

def keeping(self, done, *rest):
    if done.part == killed_at and step == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    return keep(self, done, *rest)

def marking(self, number):
    if number == killed_at and step == "between":
        os.kill(os.getpid(), signal.SIGKILL)
    return mark(self, number)

Output.keep, Output._mark = keeping, marking
run(Job.from_json(sys.argv[1]))
"""


@pytest.mark.kill
def test_a_kill_at_any_moment_costs_one_part(lexical_index: Index, tmp_path: Path) -> None:
    """Killed before a part is written, and between a part and its mark; what is there is not done again."""
    table = pa.table({"query_id": [str(i) for i in range(40)], "query": ["coffee", "wind"] * 20})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=10)
    whole = rerank_job(lexical_index, tmp_path / "rows.parquet", tmp_path / "whole", pipeline="bm25", part_rows=10)
    run(whole)
    job = rerank_job(lexical_index, tmp_path / "rows.parquet", tmp_path / "out", pipeline="bm25", part_rows=10)
    for part, step in ((1, "before"), (2, "between")):
        killed = subprocess.run(
            [sys.executable, "-c", COMMAND, job.to_json(), str(part), step],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert len(list((tmp_path / "out" / "_done").iterdir())) == part
    (tmp_path / "out" / ".part-00003.parquet.1.ab").write_bytes(b"half a part")  # as a kill while writing leaves it
    summary = run(job)
    assert (summary.rows, summary.resumed) == (40, 20)
    parts = sorted((tmp_path / "whole").glob("part-*"))
    assert [file.read_bytes() for file in parts] == [(tmp_path / "out" / file.name).read_bytes() for file in parts]
    assert not list((tmp_path / "out").glob(".*"))


def test_reading_holds_some_parts_whatever_the_input(tmp_path: Path) -> None:
    """The bound: four parts. The input, one row group, has ten times as much."""
    rows, parts, documents = 200, 60, 300
    names = pa.array([f"{doc:030d}" for doc in range(documents)] * (rows * parts))
    lists = pa.ListArray.from_arrays(pa.array(range(0, len(names) + 1, documents), pa.int32()), names)
    table = pa.table({"query_id": [str(i) for i in range(len(lists))], "query": ["q"] * len(lists), "documents": lists})
    part, all_of_it = table.slice(0, rows).nbytes, table.nbytes
    pq.write_table(table, tmp_path / "rows.parquet", compression="none", use_dictionary=False, data_page_size=2**16)
    del table, lists, names
    bound = 4 * part + 2**20  # and a MB for pages and what the libraries need
    assert all_of_it > 9 * bound
    before = pa.total_allocated_bytes()
    most = 0

    def watch(advanced: int) -> None:
        nonlocal most
        most = max(most, pa.total_allocated_bytes() - before)

    tables = tables_of("parquet", [Place.at(str(tmp_path / "rows.parquet"))], rows, {}, None)
    made = prepare(tables, Place.at(str(tmp_path / "prepared")), watch, threading.Event())
    assert [part.rows for part in made] == [rows] * parts
    assert 0 < most < bound
