"""The dense index against a plain matrix product: exact where it says so, close where it does not."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import dense
from index.dense import FLAT_LIMIT, DenseIndex, DenseKind, kind_for
from index.errors import ConflictError, NotFoundError, UnavailableError

KINDS: tuple[DenseKind, ...] = ("flat", "hnsw")


def clustered(rows: int, dimension: int = 32, seed: int = 0, centres: int = 0) -> np.ndarray:
    """Unit rows around 100 centres, in float16. `centres` seeds the centres, `seed` what lies around them."""
    rng = np.random.default_rng(seed)
    vectors = np.random.default_rng(centres).standard_normal((100, dimension))[rng.integers(0, 100, rows)]
    vectors += 0.7 * rng.standard_normal((rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def reference(
    vectors: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    rows = np.broadcast_to(np.arange(len(vectors)), scores.shape)
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    found = np.take_along_axis(scores, order, axis=1)
    return np.where(np.isfinite(found), order, -1), found


def test_kind_follows_the_number_of_rows() -> None:
    assert [kind_for(n) for n in (0, FLAT_LIMIT, FLAT_LIMIT + 1)] == ["flat", "flat", "hnsw"]
    assert DenseIndex.build(clustered(10)).kind == "flat"


@pytest.mark.parametrize("queries", [1, 3, 40])
def test_flat_is_exact(queries: int) -> None:
    vectors, asked = clustered(2000), clustered(queries, seed=1).astype(np.float32)
    rows, scores = DenseIndex.build(vectors).search(asked, 50)
    expected_rows, expected_scores = reference(vectors, asked, 50)
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)
    assert np.allclose(scores, expected_scores, atol=1e-5)
    assert np.mean(rows == expected_rows) > 0.99  # float32 may swap neighbours


# Small integers make inner products exact and ties plentiful.
@given(
    st.integers(0, 40),
    st.integers(0, 60),
    st.integers(0, 999),
    st.sampled_from(KINDS),
    st.sampled_from([None, 0, 0.5, 1]),
)
def test_ties_go_by_row(rows: int, k: int, seed: int, kind: DenseKind, share: float | None) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (rows, 3)).astype(np.float16)
    queries = rng.integers(-1, 2, (5, 3)).astype(np.float32)
    allowed = None if share is None else rng.random(rows) < share
    found, scores = DenseIndex.build(vectors, kind).search(queries, k, allowed)
    assert found.shape == scores.shape == (5, k)
    expected_rows, expected_scores = reference(vectors, queries, k, allowed)
    padding = ((0, 0), (0, k - expected_rows.shape[1]))
    if kind == "flat" or allowed is not None:  # a filtered graph of this size is scanned
        assert np.array_equal(found, np.pad(expected_rows, padding, constant_values=-1))
        assert np.array_equal(scores, np.pad(expected_scores, padding, constant_values=-np.inf))
    else:
        assert np.array_equal((found >= 0).sum(axis=1), np.full(5, min(k, rows)))


def test_copies_are_found_in_the_order_of_their_rows() -> None:
    vectors = np.tile(clustered(7), (300, 1))
    rows, scores = DenseIndex.build(vectors).search(vectors[3:4].astype(np.float32), 100)
    assert np.array_equal(rows[0], 3 + 7 * np.arange(100))
    assert np.unique(scores).size == 1


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    return sum(hits) / exact.size


def test_graph_recall() -> None:
    vectors = clustered(20_000)
    flat, graph = DenseIndex.build(vectors, "flat"), DenseIndex.build(vectors, "hnsw")
    for queries in (clustered(50, seed=1), clustered(50, seed=1, centres=1)):  # like the documents, and unlike
        found, scores = graph.search(queries, 100)
        assert recall(found, flat.search(queries, 100)[0]) >= 0.95
        assert np.all(np.diff(scores, axis=1) <= 0)
        assert np.array_equal(found, graph.search(queries, 100)[0])


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_filtered_walk(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    vectors, queries = clustered(5_000), clustered(20, seed=1).astype(np.float32)
    graph = DenseIndex.build(vectors, "hnsw")
    allowed = np.random.default_rng(2).random(5_000) < share
    monkeypatch.setattr(dense, "FLAT_LIMIT", 0)  # no scan: follow the graph whatever the filter leaves
    found, _ = graph.search(queries, 50, allowed)
    assert allowed[found].all()
    assert recall(found, reference(vectors, queries, 50, allowed)[0]) >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_odd_requests(kind: DenseKind) -> None:
    vectors = clustered(30)
    index = DenseIndex.build(vectors, kind)
    query = vectors[:1].astype(np.float32)
    assert index.search(query, 0)[0].shape == (1, 0)
    assert index.search(np.zeros((0, 32), np.float32), 5)[0].shape == (0, 5)
    rows, scores = index.search(query, 100)
    assert sorted(rows[0, :30]) == list(range(30))
    assert np.all(rows[0, 30:] == -1)
    assert np.all(scores[0, 30:] == -np.inf)
    rows, scores = index.search(query, 5, np.zeros(30, bool))
    assert np.all(rows == -1)
    rows, _ = index.search(query, 5, np.ones(3, bool))  # rows beyond the mask's end are not allowed
    assert sorted(rows[0]) == [-1, -1, 0, 1, 2]
    rows, _ = index.search(query, 40, np.ones(99, bool))
    assert np.count_nonzero(rows >= 0) == 30
    assert index.search(vectors[:1], 3)[0].shape == (1, 3)  # float16 queries


@pytest.mark.parametrize("kind", KINDS)
def test_zero_vectors(kind: DenseKind) -> None:
    vectors = np.vstack([np.zeros((40, 32), np.float16), clustered(10)])
    index = DenseIndex.build(vectors, kind)
    rows, scores = index.search(np.zeros((1, 32), np.float32), 50)
    assert np.array_equal(rows[0], np.arange(50))
    assert not scores.any()
    rows, _ = index.search(vectors[45:46].astype(np.float32), 1)
    assert rows[0, 0] == 45


def test_an_index_without_rows() -> None:
    for kind in KINDS:
        index = DenseIndex.build(np.zeros((0, 8), np.float16), kind)
        assert index.rows == 0
        assert np.all(index.search(np.ones((2, 8), np.float32), 3)[0] == -1)
        index.add(np.eye(8, dtype=np.float32))
        assert index.search(np.eye(8, dtype=np.float32)[5:6], 1)[0][0, 0] == 5


def test_bad_vectors_and_queries() -> None:
    index = DenseIndex.build(clustered(5))
    with pytest.raises(ValueError, match="shape"):
        index.add(np.zeros((2, 31), np.float32))
    for bad in (np.zeros((2, 31), np.float32), np.zeros(32, np.float32), np.full((1, 32), np.nan, np.float32)):
        with pytest.raises(ValueError, match="queries"):
            index.search(bad, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_added_rows_are_found(kind: DenseKind) -> None:
    vectors = clustered(300)
    index = DenseIndex.build(vectors[:200], kind)
    index.add(vectors[200:])
    assert index.rows == 300
    rows, _ = index.search(vectors[250:260].astype(np.float32), 1)
    assert np.array_equal(rows[:, 0], np.arange(250, 260))


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(tmp_path: Path, kind: DenseKind) -> None:
    vectors = clustered(500)
    index = DenseIndex.build(vectors, kind)
    path = tmp_path / "dense.faiss"
    index.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["dense.faiss"]
    loaded = DenseIndex.load(path)
    assert (loaded.kind, loaded.rows, loaded.dimension) == (kind, 500, 32)
    queries = clustered(5, seed=1)
    for before, after in zip(index.search(queries, 20), loaded.search(queries, 20), strict=True):
        assert np.array_equal(before, after)
    loaded.add(vectors[:1])
    assert loaded.rows == 501


def test_missing_damaged_and_unwritable_files(tmp_path: Path) -> None:
    path = tmp_path / "dense.faiss"
    with pytest.raises(NotFoundError):
        DenseIndex.load(path)
    index = DenseIndex.build(clustered(50), "hnsw")
    index.save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ConflictError, match="damaged"):
            DenseIndex.load(path)
    with pytest.raises(UnavailableError, match="could not be written"):
        index.save(tmp_path / "none" / "dense.faiss")


def test_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UnavailableError, match="pip install faiss-cpu"):
        DenseIndex.build(clustered(3))


@pytest.mark.parametrize("kind", KINDS)
def test_searches_run_beside_each_other_and_beside_additions(kind: DenseKind) -> None:
    vectors = clustered(3_000)
    index = DenseIndex.build(vectors[:1_000], kind)
    queries = vectors[:8].astype(np.float32)
    allowed = np.ones(1_000, bool)
    expected = DenseIndex.build(vectors[:1_000]).search(queries, 1)[0]
    stop = threading.Event()

    def search(width: int) -> int:
        rounds = 0
        while not stop.is_set() or rounds == 0:
            found, _ = index.search(queries[:width], 1, allowed)
            assert np.array_equal(found, expected[:width])
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(search, width) for width in (1, 1, 8, 8)]
        for start in range(1_000, 3_000, 250):
            index.add(vectors[start : start + 250])
        stop.set()
        assert all(search.result() > 0 for search in searches)
    assert index.rows == 3_000


def test_torch_in_the_same_process_keeps_its_threads() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    vectors = clustered(2_000)
    index = DenseIndex.build(vectors)
    product = torch.from_numpy(vectors.astype(np.float32))

    def both(_: int) -> bool:
        found, _scores = index.search(vectors[:20].astype(np.float32), 1)
        return bool(np.isfinite((product @ product[:64].T).numpy()).all()) and np.array_equal(
            found[:, 0], np.arange(20)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(both, range(40)))
    assert torch.get_num_threads() == before
