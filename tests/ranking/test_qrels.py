"""Judgements as files hold them: what is read, what is counted, what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from index.errors import InputError
from ranking.qrels import read_qrels


def test_judgements_of_trec_and_of_beir(tmp_path: Path) -> None:
    trec, beir = tmp_path / "a.qrels", tmp_path / "b.tsv"
    trec.write_text("1 0 d1 2\n1\t0\td2\t0\n\n2 0 d1 1\n")
    beir.write_text("query-id\tcorpus-id\tscore\n1\td1\t2\n1\td2\t0\n2\td1\t1\n")
    expected = {"1": {"d1": 2, "d2": 0}, "2": {"d1": 1}}
    assert read_qrels(trec, Counter()) == expected
    assert read_qrels(beir, Counter()) == expected


def test_what_can_be_left_out_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.qrels"
    path.write_text("1 0 d1 2\n1 0 d1 2\n1 0 d2 -1\n1 0 d3 -2\n1 0 d4 1.0\n")
    excluded: Counter[str] = Counter()
    assert read_qrels(path, excluded) == {"1": {"d1": 2, "d2": 0, "d3": 0, "d4": 1}}
    assert excluded == {
        "judgements that repeat an earlier line": 1,
        "judgements of a grade below 0, taken as 0": 2,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 0 d1 2\n1 0 d1 1\n", r":2: d1 of topic 1 has the grade 1, and 2 above"),
        ("1 0 d1 good\n", r":1: the grade 'good' is no whole number"),
        ("1 0 d1 0.5\n", r":1: the grade '0.5' is no whole number"),
        ("1 0 d1 nan\n", r":1: the grade 'nan' is no whole number"),
        ("1 0 d1\t1 x\n", r":1: 2 columns"),
        ("1 d1\n", r":1: 2 columns"),
        ("1 0 d1\n1 0 d2\n", r":1: the grade 'd1' is no whole number"),
        ("", "holds no judgements"),
        ("query-id\tcorpus-id\tscore\n", "holds no judgements"),
    ],
)
def test_judgements_that_are_not_usable(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "a.qrels"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_qrels(path, Counter())
