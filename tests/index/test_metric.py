"""A learned metric: the map, its file, and an index that keeps it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from index.errors import ConflictError, InputError
from index.index import Index
from index.metric import Metric, remove, stored_digest
from index.types import Document

DIMENSION = 5


def some_metric(space: str = "space", dimension: int = DIMENSION) -> Metric:
    random = np.random.default_rng(0)
    matrix = np.eye(dimension) + 0.3 * random.normal(size=(dimension, dimension))
    return Metric(matrix.astype(np.float32), space, {"qrels": "train.tsv"})


def test_rows_are_mapped_and_of_length_one() -> None:
    metric = some_metric()
    rows = np.random.default_rng(1).normal(size=(4, DIMENSION)).astype(np.float32)
    rows[2] = 0
    mapped = metric.apply(rows)
    expected = rows @ metric.matrix
    np.testing.assert_allclose(mapped[0], expected[0] / np.linalg.norm(expected[0]), rtol=1e-5)
    assert not mapped[2].any()
    assert mapped.dtype == np.float32


def test_directions_score_before_the_map_as_after_it() -> None:
    metric = some_metric()
    rows = np.random.default_rng(1).normal(size=(6, DIMENSION)).astype(np.float32)
    wanted = np.random.default_rng(2).normal(size=(1, DIMENSION)).astype(np.float32)
    before = rows @ metric.directions(wanted)[0]
    after = (rows @ metric.matrix) @ wanted[0]
    np.testing.assert_allclose(before / np.linalg.norm(before), after / np.linalg.norm(after), rtol=1e-4)


def test_it_survives_its_file(tmp_path: Path) -> None:
    metric = some_metric()
    assert Metric.load(tmp_path, "space") is None
    assert stored_digest(tmp_path) == ""
    metric.save(tmp_path)
    found = Metric.load(tmp_path, "space")
    assert found is not None
    assert found.digest == metric.digest == stored_digest(tmp_path)
    assert found.about == {"qrels": "train.tsv"}
    np.testing.assert_array_equal(found.matrix, metric.matrix)
    assert [path.name for path in tmp_path.iterdir()] == ["metric.safetensors"]
    assert remove(tmp_path)
    assert not remove(tmp_path)


def test_a_file_that_says_all_in_texts_is_read(tmp_path: Path) -> None:
    """As they were written before values kept their types."""
    metric = some_metric()
    texts = {"learned_from": "train.tsv", "topics": "18", "space": "space", "digest": metric.digest}
    save_file({"matrix": metric.matrix}, tmp_path / "metric.safetensors", metadata=texts)
    found = Metric.load(tmp_path, "space")
    assert found is not None
    assert found.about == {"learned_from": "train.tsv", "topics": 18}


def test_damage_and_other_vectors_are_noticed(tmp_path: Path) -> None:
    some_metric().save(tmp_path)
    with pytest.raises(ConflictError, match="belongs to other vectors"):
        Metric.load(tmp_path, "another")
    path = tmp_path / "metric.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ConflictError, match="damaged"):
        Metric.load(tmp_path, "space")
    path.write_bytes(b"nothing")
    with pytest.raises(ConflictError, match="damaged"):
        Metric.load(tmp_path, "space")
    with pytest.raises(ConflictError, match="damaged"):
        stored_digest(tmp_path)


def test_an_index_keeps_it_with_its_generation(new_index: Callable[..., Index]) -> None:
    index = new_index()
    plain = index.view().vectors
    assert plain is not None
    assert plain.learned.metric is None
    ids = ["sailing-01", "coffee-02", "gone"]
    np.testing.assert_array_equal(plain.take(ids, "learned"), plain.take(ids))

    metric = some_metric(plain.space_digest, plain.dimension)
    index.learn(metric)
    learned = index.view().vectors
    assert learned is not None
    np.testing.assert_array_equal(learned.take(ids, "learned"), metric.apply(plain.take(ids)))
    np.testing.assert_array_equal(learned.take(ids), plain.take(ids))
    assert plain.learned.metric is None  # a view is immutable
    again = Index.open(index.path).view().vectors
    assert again is not None
    assert again.learned.metric is not None
    assert again.learned.metric.digest == metric.digest

    index.upsert([Document("new", "Boats", "boat mast keel")])
    grown = index.view().vectors
    assert grown is not None
    np.testing.assert_array_equal(grown.take(["new"], "learned"), metric.apply(grown.take(["new"])))

    index.forget("metric")
    bare = index.view().vectors
    assert bare is not None
    assert bare.learned.metric is None


def test_an_index_takes_only_a_metric_of_its_own_vectors(new_index: Callable[..., Index], lexical_index: Index) -> None:
    with pytest.raises(ConflictError, match="other vectors"):
        new_index().learn(some_metric("another"))
    with pytest.raises(InputError, match="no vectors"):
        lexical_index.forget("metric")
