"""The conditioned space: the formulas, the promises about length, and the corpora that have no directions."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import ConflictError, InputError, NotFoundError
from index.space import Space, SpaceKind

KINDS = get_args(SpaceKind)


def corpus(rows: int, dimension: int = 16, seed: int = 0, offset: float = 2.0) -> np.ndarray:
    """Unit rows in a narrow cone, with more variation in some directions than in others."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dimension)) * np.geomspace(2, 0.1, dimension) + offset
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(
    st.integers(0, 40), st.integers(1, 12), st.sampled_from(KINDS), st.floats(0, 100), st.integers(0, 9), st.booleans()
)
def test_rows_are_unit_or_zero(rows: int, dimension: int, kind: SpaceKind, a: float, seed: int, half: bool) -> None:
    vectors = corpus(rows, dimension, seed).astype(np.float16 if half else np.float32)
    applied = Space.fit(vectors, kind, a).apply(vectors)
    assert applied.dtype == np.float32
    assert applied.shape == (rows, dimension)
    lengths = np.linalg.norm(applied, axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))


def test_the_formulas() -> None:
    x = corpus(300).astype(np.float64)
    mu = x.mean(axis=0)
    w, v = np.linalg.eigh(np.cov(x.T, bias=True))
    expected = (x - mu) @ v @ np.diag((w / w.mean() + 2.0) ** -0.5) @ v.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(Space.fit(x.astype(np.float32), "whitened").apply(x.astype(np.float32)), expected, atol=1e-5)
    expected = (x - mu) / np.linalg.norm(x - mu, axis=1, keepdims=True)
    assert np.allclose(Space.fit(x.astype(np.float32), "centred").apply(x.astype(np.float32)), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [3, 15, 16, 17])
def test_of_few_vectors_only_a_share_is_believed(rows: int) -> None:
    x = corpus(rows).astype(np.float64)
    mu = x.mean(axis=0)
    w, v = np.linalg.eigh(np.cov(x.T, bias=True))
    share = min(1, rows / 16) ** 2
    w = share * w + (1 - share) * w.mean()
    expected = (x - mu) @ v @ np.diag((w / w.mean() + 2.0) ** -0.5) @ v.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(Space.fit(x.astype(np.float32)).apply(x.astype(np.float32)), expected, atol=1e-5)


def test_a_document_added_to_few_is_hardly_nearer_to_what_has_nothing_to_do_with_it() -> None:
    rows = corpus(700, dimension=128)
    space = Space.fit(rows[:48])
    scores = space.apply(rows[100:]) @ space.apply(rows[:96]).T
    first = np.argsort(-scores, axis=1)[:, :10]
    assert 0.5 < (first >= 48).mean() < 0.6  # half of the documents were added


def test_none_only_normalises() -> None:
    vectors = corpus(20)
    assert np.allclose(Space.fit(vectors, "none").apply(vectors.astype(np.float16)), vectors, atol=1e-3)


def test_centring_takes_the_common_direction_away() -> None:
    vectors = corpus(500)
    assert np.linalg.norm(vectors.mean(axis=0)) > 0.8
    assert np.linalg.norm(Space.fit(vectors, "centred").apply(vectors).mean(axis=0)) < 0.1


def test_whitening_with_a_huge_ridge_only_centres() -> None:
    vectors = corpus(200)
    centred = Space.fit(vectors, "centred").apply(vectors)
    assert np.allclose(Space.fit(vectors, "whitened", a=1e9).apply(vectors), centred, atol=1e-4)
    assert not np.allclose(Space.fit(vectors, "whitened", a=2).apply(vectors), centred, atol=1e-2)


def test_whitening_without_ridge_evens_the_variances() -> None:
    vectors = corpus(2000)
    space = Space.fit(vectors, "whitened", a=0)
    assert space.matrix is not None
    variances = np.linalg.eigvalsh(np.cov(((vectors - space.mean) @ space.matrix).T))
    assert variances.max() / variances.min() < 1.1


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = corpus(1000).astype(np.float16)
    whole = Space.fit(vectors)
    monkeypatch.setattr("index.space._BLOCK", 37)
    assert np.allclose(Space.fit(vectors).apply(vectors), whole.apply(vectors), atol=1e-5)


@pytest.mark.parametrize("kind", ["centred", "whitened"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("copies", [0, 1, 2, 1000])
def test_corpora_without_directions(kind: SpaceKind, dtype: type, copies: int) -> None:
    vectors = np.repeat(corpus(1), copies, axis=0).astype(dtype)
    space = Space.fit(vectors, kind)
    assert not space.apply(vectors).any()
    queries = space.apply(corpus(3, seed=1))
    assert np.isfinite(queries).all()
    assert np.allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)


def test_documents_without_a_vector_neither_count_nor_gain_one() -> None:
    vectors = corpus(50)
    gaps = np.vstack([vectors[:20], np.zeros((30, 16), np.float32), vectors[20:]])
    space = Space.fit(gaps)
    assert np.allclose(space.apply(vectors), Space.fit(vectors).apply(vectors), atol=1e-5)
    assert not space.apply(gaps)[20:50].any()


@pytest.mark.parametrize("kind", KINDS)
def test_deterministic_and_the_same_after_a_round_trip(tmp_path: Path, kind: SpaceKind) -> None:
    vectors = corpus(100)
    space = Space.fit(vectors, kind, a=1.5)
    assert space.digest == Space.fit(vectors, kind, a=1.5).digest
    space.save(tmp_path)
    loaded = Space.load(tmp_path)
    assert (loaded.kind, loaded.a, loaded.digest) == (kind, 1.5, space.digest)
    assert np.array_equal(loaded.apply(vectors), space.apply(vectors))


def test_digests_tell_spaces_apart() -> None:
    vectors = corpus(100)
    spaces = [Space.fit(vectors, kind, a) for kind in KINDS for a in (1.0, 2.0)]
    spaces.append(Space.fit(corpus(100, seed=1), "whitened"))
    assert len({space.digest for space in spaces}) == len(spaces)


def test_unknown_kind_and_bad_strength() -> None:
    with pytest.raises(InputError, match="Choose one of none, centred, whitened"):
        Space.fit(corpus(3), "witened")  # type: ignore[arg-type]
    for a in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="whitening strength"):
            Space.fit(corpus(3), "whitened", a)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Space.load(tmp_path)
    Space.fit(corpus(50)).save(tmp_path)
    path = tmp_path / "space.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-4] + b"\0\0\0\1"):
        path.write_bytes(damaged)
        with pytest.raises(ConflictError, match="damaged"):
            Space.load(tmp_path)
