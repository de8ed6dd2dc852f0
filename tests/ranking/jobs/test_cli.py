"""`clickwise rerank`: exit codes, what it says, the estimate."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from index.index import Index
from ranking.jobs.front import duration, shown
from ranking.jobs.job import Report
from server.cli import run as clickwise

GOOD = '{"query_id": "1", "query": "coffee"}\n{"query_id": "2", "query": "wind"}\n'
BAD = '{"query_id": "3", "query": "coffee", "documents": ["tea"]}\n'


def rerank(index: Index, rows: str, folder: Path, *more: str) -> int:
    (folder / "rows.jsonl").write_text(rows)
    where = [str(folder / "rows.jsonl"), str(folder / "out"), "--index", str(index.path)]
    return clickwise(["rerank", *where, "--pipeline", "bm25", "--engine", "in-process", *more])


def test_zero_where_all_rows_were_ranked(
    lexical_index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rerank(lexical_index, GOOD, tmp_path, "--json", "--limit", "3") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["rejected"], summary["engine"]) == (2, 0, "in-process")
    assert pq.read_table(tmp_path / "out")["rank"].to_pylist() == [1, 2, 3, 1, 2, 3]
    assert rerank(lexical_index, GOOD, tmp_path, "--limit", "3", "--json") == 2  # the input is a new file
    assert "input was 1 file" in capsys.readouterr().err


def test_one_where_some_were_rejected(lexical_index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rerank(lexical_index, GOOD + BAD, tmp_path) == 1
    told = capsys.readouterr()
    assert "3 rows in 1 parts" in told.out
    assert "1 of the 3 rejected: see _rejects.jsonl" in told.out
    assert "The first is row 3 (query_id 3): unknown document: tea not in the index." in told.out
    assert rerank(lexical_index, BAD * 3, tmp_path, "--overwrite", "--max-rejects", "2") == 1
    assert "clickwise: 3 rows were rejected" in capsys.readouterr().err


def test_an_interruption_says_that_the_same_command_goes_on(
    lexical_index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ranking.jobs.engine.InProcess.run", interrupted)
        assert rerank(lexical_index, GOOD, tmp_path) == 130
    assert capsys.readouterr() == ("", "Interrupted. What is done is kept, and the same command goes on.\n")
    where = [str(tmp_path / "rows.jsonl"), str(tmp_path / "out"), "--index", str(lexical_index.path)]
    assert clickwise(["rerank", *where, "--pipeline", "bm25", "--engine", "in-process"]) == 0


def test_two_where_the_command_line_is_not_usable(
    lexical_index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rerank(lexical_index, GOOD, tmp_path, "--engine", "steam") == 2
    assert "no engine 'steam'" in capsys.readouterr().err
    assert rerank(lexical_index, GOOD, tmp_path, "--texts") == 2
    (tmp_path / "rows.csv").touch()
    assert (
        clickwise(["rerank", str(tmp_path / "rows.csv"), str(tmp_path / "out"), "--index", str(lexical_index.path)])
        == 2
    )
    assert "The input has files of csv" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_estimates_and_writes_nothing(
    lexical_index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f'{{"query_id": "{i}", "query": "coffee"}}\n' for i in range(500)) + BAD
    assert rerank(lexical_index, rows, tmp_path, "--dry-run", "--sample", "40", "--price", "2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["sampled"]) == (501, 40)
    assert found["cost"] == pytest.approx(2 * found["seconds"] / 3600, abs=1e-4)
    assert found["bytes"] > 0
    assert not (tmp_path / "out").exists()


def test_a_report_in_words() -> None:
    assert shown(Report("working", 50, 100, 2, 12.4, 4.03)) == ("working, 12 rows/s, 2 rejected, 4.0 s left", 50, 100)
    assert [duration(s) for s in (0.04, 65, 3700, 90_000)] == ["0.0 s", "1 min 05 s", "1 h 01 min", "1 d 1 h"]
