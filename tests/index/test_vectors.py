"""The vector file: what is appended can be read, whatever happens to the writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from index.errors import ConflictError, NotFoundError, UnavailableError
from index.vectors import VectorFile, take, widen

HALF_BITS = hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9))


def random_rows(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def test_rows_come_back_as_float16(tmp_path: Path) -> None:
    vectors = random_rows(5, 8)
    file = VectorFile(tmp_path / "v.f16", 8)
    assert file.rows == 0
    assert file.append(vectors[:3], committed=0) == 0
    assert file.append(vectors[3:], committed=3) == 3
    assert file.rows == 5
    mapped = file.open(5)
    assert isinstance(mapped, np.memmap)
    assert mapped.dtype == np.float16
    assert np.array_equal(mapped, vectors.astype(np.float16))
    assert (tmp_path / "v.f16").stat().st_size == 5 * 8 * 2


def test_no_rows(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f16", 4)
    assert file.open(0).shape == (0, 4)
    assert file.append(np.zeros((0, 4), np.float32), committed=0) == 0
    assert file.rows == 0


def test_many_appends_before_a_commit(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f16", 4)
    assert [file.append(random_rows(n, 4)) for n in (2, 3, 1)] == [0, 2, 5]


@pytest.mark.parametrize("torn_bytes", [1, 7, 8, 8 * 3 + 5])
def test_torn_tail_is_ignored_and_then_overwritten(tmp_path: Path, torn_bytes: int) -> None:
    path = tmp_path / "v.f16"
    file = VectorFile(path, 4)
    file.append(random_rows(3, 4), committed=0)
    with path.open("ab") as raw:
        raw.write(b"\xff" * torn_bytes)
    before = np.array(file.open(3))
    added = random_rows(2, 4, seed=1)
    assert file.append(added, committed=3) == 3
    assert file.rows == 5
    assert np.array_equal(file.open(5), np.vstack([before, added.astype(np.float16)]))


def test_a_reader_keeps_its_rows_while_others_are_appended(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f16", 4)
    file.append(random_rows(3, 4), committed=0)
    file.append(random_rows(9, 4, seed=2), committed=3)  # never committed: a killed writer's
    reader = file.open(3)
    before = np.array(reader)
    file.append(random_rows(1, 4, seed=3), committed=3)
    assert np.array_equal(reader, before)
    assert file.rows == 4


KILLED_WRITER = """
import sys
from pathlib import Path
import numpy as np
from index.vectors import VectorFile

file = VectorFile(Path(sys.argv[1]), 16)
for number in range(1_000_000):
    file.append(np.full((50, 16), number % 100, np.float32))
    print(file.rows, flush=True)
"""


def test_rows_acknowledged_by_a_killed_writer_are_there(tmp_path: Path) -> None:
    path = tmp_path / "v.f16"
    with subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    file = VectorFile(path, 16)
    assert np.array_equal(file.open(acknowledged)[:, 0], np.repeat(np.arange(acknowledged // 50), 50))
    assert file.append(np.ones((1, 16), np.float32), committed=acknowledged) == acknowledged
    assert file.rows == acknowledged + 1


def test_refused_vectors_leave_the_file_as_it_was(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f16", 4)
    file.append(random_rows(2, 4), committed=0)
    for bad in (np.zeros((2, 3), np.float32), np.zeros(4, np.float32)):
        with pytest.raises(ValueError, match="shape"):
            file.append(bad, committed=2)
    for value in (np.nan, np.inf, 1e6):
        with pytest.raises(ValueError, match="finite"):
            file.append(np.full((1, 4), value, np.float32), committed=2)
    assert file.rows == 2


def test_missing_rows_are_a_conflict(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f16", 4)
    with pytest.raises(NotFoundError):
        file.open(1)
    file.append(random_rows(2, 4), committed=0)
    with pytest.raises(ConflictError, match="holds 2 vectors where the index counts 3"):
        file.open(3)
    with pytest.raises(ConflictError):
        file.append(random_rows(1, 4), committed=3)
    assert file.rows == 2


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = VectorFile(tmp_path / "v.f16", 4)
    file.append(random_rows(2, 4), committed=0)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("index.vectors.os.fsync", no_space)
        with pytest.raises(UnavailableError, match="No space left on device"):
            file.append(random_rows(3, 4), committed=2)
    assert file.rows == 2
    assert file.append(random_rows(3, 4), committed=2) == 2


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        VectorFile(tmp_path / "none" / "v.f16", 4).append(random_rows(1, 4))


def test_take(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f16", 4)
    file.append(random_rows(3, 4), committed=0)
    mapped = file.open(3)
    found = take(mapped, [2, -1, 0, 2])
    assert found.dtype == np.float32
    assert type(found) is np.ndarray
    wide = np.asarray(mapped).astype(np.float32)
    assert np.array_equal(found, np.stack([wide[2], np.zeros(4), wide[0], wide[2]]))
    assert take(mapped, []).shape == (0, 4)
    assert not take(file.open(0), [-1, -1]).any()
    for outside in (3, -2):
        with pytest.raises(IndexError):
            take(mapped, [outside])


@given(HALF_BITS)
def test_widening_is_exact(bits: np.ndarray) -> None:
    halves = bits.view(np.float16)
    assert np.array_equal(widen(halves).view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_widening_leaves_float32_alone() -> None:
    vectors = random_rows(2, 3)
    assert widen(vectors) is vectors


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 30))
def test_any_sequence_of_appends(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], torn: int) -> None:
    path = tmp_path_factory.mktemp("v") / "v.f16"
    file, kept = VectorFile(path, 3), np.zeros((0, 3), np.float16)
    for seed, size in enumerate(sizes):
        rows = random_rows(size, 3, seed)
        assert file.append(rows, committed=len(kept)) == len(kept)
        kept = np.vstack([kept, rows.astype(np.float16)])
        with path.open("ab") as raw:
            raw.write(os.urandom(torn))
    assert np.array_equal(file.open(len(kept)), kept)
