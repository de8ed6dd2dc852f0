"""Runs, and judgements as they are written: what is read, what is refused."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.formats.trec import falling, qrels_lines, read_run, run_lines
from index.errors import InputError
from index.types import Ranking
from ranking.qrels import read_qrels


def test_a_run_is_read_in_the_order_of_trec_eval(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    path.write_text("1 Q0 d1 1 2.0 x\n1 Q0 d2 9 3.0 x\n1 Q0 d4 2 2.0 x\n1 Q0 d3 1 2.00000001 x\n")
    assert read_run(path)["1"].ids == ("d2", "d4", "d3", "d1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 Q0 d1 1 nan x\n", r":1: the score of document d1 is nan"),
        ("1 Q0 d1 1 inf x\n", r":1: the score of document d1 is inf"),
        ("1 Q0 d1 1 high x\n", r":1: the score of document d1 is high"),
        ("1 Q0 d1 1 2 x\n1 Q0 d1 2 1 x\n", r":2: document d1 is ranked twice for topic 1"),
        ("1 Q0 d1 1 2\n", r":1: 5 columns"),
        ("", "The run .* is empty"),
    ],
)
def test_runs_that_are_not_usable(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "a.trec"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_run(path)


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=50))
def test_scores_of_a_run_fall_strictly_and_stay_close(scores: list[float]) -> None:
    ordered = np.array(sorted(scores, reverse=True))
    single = falling(ordered)
    assert (np.diff(single) < 0).all()
    untied = [i for i in range(len(single)) if i == 0 or np.float32(ordered[i]) < single[i - 1]]
    np.testing.assert_array_equal(single[untied], ordered[untied].astype(np.float32))


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.5000000001, 7.0]), min_size=1, max_size=20))
def test_a_written_run_is_read_back_in_its_order(tmp_path_factory: pytest.TempPathFactory, scores: list[float]) -> None:
    path = tmp_path_factory.mktemp("runs") / "a.trec"
    ranking = Ranking.of([f"d{i}" for i in range(len(scores))], scores)
    path.write_text(run_lines("1", ranking, "tag"))
    assert read_run(path)["1"].ids == ranking.ids


def test_files_that_break_off(tmp_path: Path) -> None:
    path = tmp_path / "a.trec.gz"
    path.write_bytes(gzip.compress(b"1 Q0 d1 1 2 x\n" * 1000)[:-12])
    with pytest.raises(InputError, match="breaks off"):
        read_run(path)
    path.write_bytes(gzip.compress(b"1 0 d1 1\n" * 1000)[:-12])
    with pytest.raises(InputError, match="breaks off"):
        read_qrels(path, Counter())


def test_ids_with_white_space_are_encoded_in_files(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    path.write_text(run_lines("a topic", Ranking.of(["with space", "with%sign", "plain"], [3.0, 2.0, 1.0]), "x"))
    assert read_run(path)["a%20topic"].ids == ("with%20space", "with%sign", "plain")
    path.write_text(qrels_lines("a topic", {"with\u00a0space": 1, "plain": 0}))
    assert read_qrels(path, Counter()) == {"a%20topic": {"with%C2%A0space": 1, "plain": 0}}
