"""What is relevant together: the extended vectors, the file, and an index, whole or in shards, that keeps it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.build import BuildOptions, build_index
from index.co_relevance import CoRelevance, remove, stored_digest
from index.errors import ConflictError, InputError
from index.filters import parse_filter
from index.index import Index
from index.types import Document
from index.vectors import unit_rows
from tests.fakes import HashingEncoder
from tests.index.test_metric import some_metric
from tests.index.test_prior import some_prior

RANK = 3


def some(ids: list[str], space: str = "space", strength: float = 0.7, dimension: int = 5) -> CoRelevance:
    random = np.random.default_rng(0)
    factors = unit_rows(random.normal(size=(len(ids), RANK)).astype(np.float32))
    regression = random.normal(size=(dimension, RANK)).astype(np.float32)
    return CoRelevance(ids, factors, regression, strength, space, {"learned_from": "train.tsv"})


def rows(count: int, seed: int = 1) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32))


@given(strength=st.floats(0.0, 10.0), seed=st.integers(0, 1_000))
def test_the_inner_product_is_that_of_texts_and_of_what_was_relevant_together(strength: float, seed: int) -> None:
    known = some(["a", "b"], strength=strength)
    plain = rows(3, seed)
    a, b, stranger = known.extend(["a", "b", "stranger"], plain)
    assert a.shape == (5 + RANK,)
    together = strength**2 * (known.factors[0] @ known.factors[1])
    lengths = [np.sqrt(1.0 + strength**2 * known.factors[i] @ known.factors[i]) for i in range(2)]
    assert a @ b == pytest.approx((plain[0] @ plain[1] + together) / (lengths[0] * lengths[1]), abs=1e-5)
    np.testing.assert_array_equal(stranger, [*plain[2], 0, 0, 0])
    np.testing.assert_allclose(np.linalg.norm([a, b], axis=1), 1.0, atol=1e-5)


@given(seed=st.integers(0, 1_000))
def test_a_query_is_expected_to_find_what_the_regression_says(seed: int) -> None:
    known = some(["a", "b"])
    query = rows(1, seed)
    beside = known.expect(query)
    assert beside.shape == (1, RANK)
    document = known.extend(["a"], query)[0]
    expected = known.strength * (query[0] @ known.regression @ known.factors[0])
    length = np.sqrt(1.0 + known.strength**2 * known.factors[0] @ known.factors[0])
    assert np.hstack([query, beside])[0] @ document == pytest.approx((1.0 + expected) / length, abs=1e-4)
    assert not known.expect(np.zeros((1, 5), np.float32)).any()  # of an empty query nothing is


def test_a_document_without_a_vector_stays_without() -> None:
    plain = rows(2)
    plain[0] = 0
    extended = some(["a", "b"]).extend(["a", "b"], plain)
    assert not extended[0].any()
    assert some([]).extend([], plain[:0]).shape == (0, 5 + RANK)


def test_the_best_along_a_direction() -> None:
    factors = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    known = CoRelevance(["a", "b", "c", "d"], factors, np.zeros((5, 2), np.float32), 1.0, "space")
    allowed = np.ones(4, np.bool_)
    assert set(known.best(np.array([1.0, 0.0], np.float32), 10, allowed)) == {"a", "b"}
    assert known.best(np.array([1.0, 0.0], np.float32), 1, allowed) == ["a"]
    allowed[0] = False
    assert known.best(np.array([1.0, 0.0], np.float32), 10, allowed) == ["b"]
    assert known.best(np.zeros(2, np.float32), 10, allowed) == []


def test_it_survives_its_file(tmp_path: Path) -> None:
    known = some(["one", "zwölf\n", "c"])
    assert CoRelevance.load(tmp_path, "space") is None
    assert stored_digest(tmp_path) == ""
    known.save(tmp_path)
    found = CoRelevance.load(tmp_path, "space")
    assert found is not None
    assert found.digest == known.digest == stored_digest(tmp_path)
    assert (list(found.ids), found.strength) == (list(known.ids), pytest.approx(0.7))
    assert found.about == {"learned_from": "train.tsv"}
    np.testing.assert_array_equal(found.factors, known.factors)
    np.testing.assert_array_equal(found.regression, known.regression)
    assert remove(tmp_path)
    assert not remove(tmp_path)


def test_damage_and_other_vectors_are_noticed(tmp_path: Path) -> None:
    some(["a", "b"]).save(tmp_path)
    with pytest.raises(ConflictError, match="belongs to other vectors"):
        CoRelevance.load(tmp_path, "another")
    path = tmp_path / "co-relevance.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ConflictError, match=r"The learned co-relevance .* is damaged"):
        CoRelevance.load(tmp_path, "space")


def opened(index: Index) -> tuple[np.ndarray, np.ndarray]:
    """The learned and the conditioned vectors of some documents, the last of which is not there."""
    vectors = index.view().vectors
    assert vectors is not None
    ids = ["sailing-01", "coffee-02", "gone"]
    return vectors.take(ids, "learned"), vectors.take(ids)


@pytest.mark.parametrize("shards", [None, 2])
def test_an_index_keeps_it_with_its_generation(
    tmp_path: Path, corpus: list[Document], encoder: HashingEncoder, shards: int | None
) -> None:
    build_index(tmp_path / "index", corpus, BuildOptions(shards=shards), encoder=encoder)
    index = Index.open(tmp_path / "index", encoder=encoder)
    vectors = index.view().vectors
    assert vectors is not None
    prior = some_prior(vectors.prior_space, vectors.dimension)
    index.learn(prior)
    known = some(["sailing-01", "gone", "python-03"], vectors.space_digest, dimension=vectors.dimension)
    index.learn(known)
    assert vectors.width("learned") == vectors.dimension  # a view is immutable
    for again in (index, Index.open(index.path, encoder=encoder)):
        learned, plain = opened(again)
        np.testing.assert_array_equal(learned, known.extend(["sailing-01", "coffee-02", "gone"], plain))
        found = again.view().vectors
        assert found is not None
        assert found.width("learned") == found.dimension + RANK
        assert found.width("raw") == found.dimension
        assert found.learned.prior is not None  # it belongs to the metric's part of the space
        asked = found.learned.queries(plain)
        np.testing.assert_array_equal(asked, np.hstack([plain, known.expect(plain)]))

    metric = some_metric(vectors.space_digest, vectors.dimension)
    index.learn(metric)
    learned, plain = opened(index)
    np.testing.assert_array_equal(learned, known.extend(["sailing-01", "coffee-02", "gone"], metric.apply(plain)))
    view = index.view().vectors
    assert view is not None
    asked = view.learned.queries(plain)  # the metric moves the query, the regression reads it as it was
    np.testing.assert_array_equal(asked, np.hstack([metric.apply(plain), known.expect(plain)]))
    index.upsert([Document("gone", "Back", "boat mast keel")])
    assert opened(index)[0][2].any()
    index.forget("metric")
    index.forget("co-relevance")
    learned, plain = opened(index)
    np.testing.assert_array_equal(learned, plain)


@pytest.mark.parametrize("shards", [None, 3])
def test_it_proposes_what_was_relevant_together(
    tmp_path: Path, corpus: list[Document], encoder: HashingEncoder, shards: int | None
) -> None:
    """Documents that no likeness of texts brings in; live ones that the filter admits, in the order of the space."""
    build_index(tmp_path / "index", corpus, BuildOptions(shards=shards), encoder=encoder)
    index = Index.open(tmp_path / "index", encoder=encoder)
    vectors = index.view().vectors
    assert vectors is not None
    ids = ["sailing-01", "coffee-02", "coffee-03", "python-04", "gone"]
    factors = np.zeros((5, 2), np.float32)
    factors[:, 0] = 1.0
    regression = np.zeros((vectors.dimension, 2), np.float32)
    index.learn(CoRelevance(ids, factors, regression, 3.0, vectors.space_digest))
    index.delete(["python-04"])
    vectors = index.view().vectors
    assert vectors is not None
    query = vectors.take(["sailing-01"], "learned")
    found = vectors.nearest(query, 3, None, "learned")[0]
    assert set(found.ids) == {"sailing-01", "coffee-02", "coffee-03"}
    np.testing.assert_allclose(found.scores, vectors.take(found.ids, "learned") @ query[0], rtol=1e-5)
    coffee = vectors.nearest(query, 4, parse_filter('topic == "coffee"'), "learned")[0]
    assert set(coffee.ids[:2]) == {"coffee-02", "coffee-03"}
    assert {doc.split("-")[0] for doc in coffee.ids} == {"coffee"}
    plain = vectors.nearest(vectors.take(["sailing-01"]), 3)[0]
    assert "coffee-02" not in plain.ids


def test_an_index_takes_only_what_was_learned_on_its_own_vectors(
    new_index: Callable[..., Index], lexical_index: Index
) -> None:
    with pytest.raises(ConflictError, match="other vectors"):
        new_index().learn(some(["a"], "another"))
    with pytest.raises(InputError, match="no vectors"):
        lexical_index.forget("co-relevance")


def test_a_rebuild_leaves_it_behind(
    new_index: Callable[..., Index], corpus: list[Document], encoder: HashingEncoder
) -> None:
    index = new_index()
    vectors = index.view().vectors
    assert vectors is not None
    index.learn(some(["sailing-01"], vectors.space_digest))
    build_index(index.path, corpus, BuildOptions(overwrite=True), encoder=encoder)
    again = Index.open(index.path, encoder=encoder).view().vectors
    assert again is not None
    assert again.learned.co_relevance is None
