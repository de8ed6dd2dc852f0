"""A learned prior beside the vectors: kept, found again, and left behind with what it was learned on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index.build import BuildOptions, build_index
from index.errors import ConflictError, InputError
from index.index import Index
from index.prior import Prior, remove, stored_digest
from tests.fakes import HashingEncoder
from tests.index.sharded.made import generated
from tests.index.test_metric import some_metric


def some_prior(space: str = "space", dimension: int = 6) -> Prior:
    factor = np.random.default_rng(0).normal(size=(dimension, 2)).astype(np.float32)
    return Prior(factor, 12.0, 0.8, 0.4, 0.6, (0.01, 0.02), space, {"qrels": "train.tsv"})


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert Prior.load(tmp_path, "space") is None
    assert stored_digest(tmp_path) == ""
    prior = some_prior()
    prior.save(tmp_path)
    found = Prior.load(tmp_path, "space")
    assert found is not None
    assert found.digest == prior.digest == stored_digest(tmp_path)
    np.testing.assert_array_equal(found.factor, prior.factor)
    numbers = (found.scale, found.query_weight, found.precision, found.refused_weight, *found.noise)
    assert numbers == pytest.approx((12.0, 0.8, 0.4, 0.6, 0.01, 0.02))
    assert found.about == {"qrels": "train.tsv"}
    assert remove(tmp_path)
    assert not remove(tmp_path)


def test_damage_and_other_vectors_are_noticed(tmp_path: Path) -> None:
    some_prior().save(tmp_path)
    with pytest.raises(ConflictError, match="belongs to other vectors"):
        Prior.load(tmp_path, "another")
    (tmp_path / "prior.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConflictError, match=r"The learned prior .* is damaged"):
        Prior.load(tmp_path, "space")


def test_another_metric_leaves_the_prior_behind(new_index: Callable[..., Index], lexical_index: Index) -> None:
    index = new_index()
    plain = index.view().vectors
    assert plain is not None
    index.learn(some_prior(plain.prior_space, plain.dimension))
    learned = Index.open(index.path).view().vectors
    assert learned is not None
    assert learned.learned.prior is not None
    assert index.learn(some_metric(plain.space_digest, plain.dimension)) == ["prior"]
    moved = index.view().vectors
    assert moved is not None
    assert moved.learned.prior is None
    with pytest.raises(ConflictError, match="other vectors"):
        index.learn(some_prior(plain.prior_space, plain.dimension))
    with pytest.raises(InputError, match="no vectors"):
        lexical_index.forget("prior")


def test_an_index_in_shards_keeps_it_as_a_whole(tmp_path: Path, encoder: HashingEncoder) -> None:
    build_index(tmp_path / "two", generated(60), BuildOptions(shards=2), encoder=encoder)
    index = Index.open(tmp_path / "two", encoder=encoder)
    plain = index.view().vectors
    assert plain is not None
    prior = some_prior(plain.prior_space, plain.dimension)
    index.learn(prior)
    for opened in (index, Index.open(tmp_path / "two", encoder=encoder)):
        learned = opened.view().vectors
        assert learned is not None
        assert learned.learned.prior is not None
        assert learned.learned.prior.digest == prior.digest
    assert index.learn(some_metric(plain.space_digest, plain.dimension)) == ["prior"]
    moved = index.view().vectors
    assert moved is not None
    assert moved.learned.metric is not None
    assert moved.learned.prior is None
