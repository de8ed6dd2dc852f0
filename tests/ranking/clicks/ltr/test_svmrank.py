"""SVMrank files: there and back, and what is wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from index.errors import InputError, NotFoundError, RecordError
from index.readers.reading import ReadReport
from ranking.clicks.ltr.features import Features, Judged
from ranking.clicks.ltr.svmrank import read_svmrank, write_svmrank


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@given(
    matrix=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 6)),
        elements=st.floats(-1e6, 1e6, width=32, allow_nan=False),
    ),
    seed=st.integers(0, 100),
)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, matrix: np.ndarray, seed: int
) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, len(matrix) + 1))
    query = np.sort(np.concatenate([np.arange(count), random.integers(count, size=len(matrix) - count)]))
    features = Features(
        matrix,
        query.astype(np.int32),
        tuple(f"q{i}" for i in range(count)),
        tuple(f"d-{i}" for i in range(len(matrix))),
    )
    judged = Judged(features, random.integers(0, 5, len(matrix)).astype(np.float32))
    path = tmp_path_factory.mktemp("svmrank") / "file"
    write_svmrank(path, judged)
    found = read_svmrank(path, width=matrix.shape[1])
    np.testing.assert_array_equal(found.features.matrix, matrix)
    np.testing.assert_array_equal(found.grades, judged.grades)
    np.testing.assert_array_equal(found.features.query, features.query)
    assert found.features.queries == features.queries
    assert found.features.documents == features.documents


def test_lines_of_every_kind(tmp_path: Path) -> None:
    text = (
        "\ufeff2 qid:7 1:0.5 3:-1e-2 # first and more\n\n# only a comment\n0 qid:7\n"
        "1.5 qid:x 2:3 #docid = GX000-1 inc = 1 prob = 0.2\n"
    )
    found = read_svmrank(written(tmp_path / "a", text))
    assert found.features.queries == ("7", "x")
    assert found.features.documents == ("first", "2", "GX000-1")
    np.testing.assert_allclose(found.features.matrix, [[0, 0.5, 0, -0.01], [0, 0, 0, 0], [0, 0, 3, 0]])
    np.testing.assert_allclose(found.grades, [2, 0, 1.5])
    assert found.features.rows["x", "GX000-1"] == 2
    assert [rows.tolist() for rows in found.features.candidates()] == [[0, 1], [2]]


def test_query_sizes_beside_the_file_and_compression(tmp_path: Path) -> None:
    (tmp_path / "rank.train.gz").write_bytes(gzip.compress(b"0 1:1\n1 1:2\n2 1:3\n"))
    written(tmp_path / "rank.train.gz.query", "1\n2\n")
    found = read_svmrank(tmp_path / "rank.train.gz")
    assert found.features.query.tolist() == [0, 1, 1]
    assert found.features.documents == ("1", "1", "2")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x qid:1 1:1", "the grade 'x' is no number"),
        ("-1 qid:1 1:1", "not 0 or more"),
        ("nan qid:1 1:1", "not 0 or more"),
        ("1 qid:1 1=1", "has no colon"),
        ("1 qid:1 a:1", "is no NUMBER:VALUE"),
        ("1 qid:1 1:nan", "not finite"),
        ("1 qid:1 1:1 1:2", "comes twice"),
        ("1 qid:1 -1:1", "negative"),
        ("1 qid:1 99999999:1", "too large"),
        ("1 1:1", "no qid:"),
        ("1 qid:1 1:1 # d\n1 qid:1 1:1 # d", "document d comes twice"),
        ("1 qid:1 1:1\n1 qid:2 1:1\n1 qid:1 1:1", "query 1 had ended"),
    ],
)
def test_bad_lines_are_named_or_skipped(tmp_path: Path, text: str, reason: str) -> None:
    path = written(tmp_path / "bad", f"0 qid:0 1:1\n{text}\n")
    with pytest.raises(RecordError, match=reason) as refused:
        read_svmrank(path)
    assert "--on-error" not in refused.value.advice  # which no command has that reads these
    report = ReadReport()
    found = read_svmrank(path, on_error="skip", report=report)
    assert report.skipped == 1
    assert reason in report.errors[0].reason
    assert len(found.features) == len(text.split("\n"))  # the good line, and the good ones of the text


def test_what_no_line_is_to_blame_for(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_svmrank(tmp_path / "missing")
    with pytest.raises(InputError, match="no usable line"):
        read_svmrank(written(tmp_path / "empty", "\n# nothing\n"))
    path = written(tmp_path / "sizes", "0 1:1\n0 1:1\n")
    written(tmp_path / "sizes.query", "1\n")
    with pytest.raises(InputError, match="add up to 1"):
        read_svmrank(path)
    written(tmp_path / "sizes.query", "1 x\n")
    with pytest.raises(InputError, match="no size"):
        read_svmrank(path)
    with pytest.raises(RecordError, match="the features end with 1"):
        read_svmrank(written(tmp_path / "wide", "0 qid:1 2:1\n"), width=2)
    (tmp_path / "torn.gz").write_bytes(gzip.compress(b"0 qid:1 1:1\n" * 500)[:-20])
    with pytest.raises(RecordError, match="breaks off"):
        read_svmrank(tmp_path / "torn.gz")


def test_a_group_size_counts_lines_that_are_skipped(tmp_path: Path) -> None:
    path = written(tmp_path / "a", "0 1:1\n0 x:1\n0 1:3\n")
    written(tmp_path / "a.group", "2\n1\n")
    found = read_svmrank(path, on_error="skip")
    assert found.features.queries == ("1", "2")
    assert found.features.matrix[:, 1].tolist() == [1, 3]
