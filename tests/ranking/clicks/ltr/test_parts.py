"""Features, pages, simulated people, measures and models on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from index.errors import ConflictError, InputError, NotFoundError
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.features import Features, Judged, locate_rows, text_features
from ranking.clicks.ltr.measures import Evidence, discounts, ndcg
from ranking.clicks.ltr.model import Model
from ranking.clicks.ltr.pages import Pages, batches, distinct, inverse_rank_frequency, split_queries
from ranking.clicks.ltr.scorers import Network, new_scorer
from ranking.clicks.ltr.simulation import (
    AffinePeople,
    CascadePeople,
    attraction,
    graded_scorer,
    people,
    position_bias,
    simulate,
    trust_bias,
)
from ranking.clicks.ltr.training import score_rows
from ranking.clicks.sessions import Sessions, Vocabulary
from tests.ranking.clicks.ltr.made import clicked, judged


def test_rows_of_a_log_are_found_by_name() -> None:
    features = Features(np.eye(3, dtype=np.float32), np.array([0, 0, 1], np.int32), ("a", "b"), ("x", "y", "x"))
    vocabulary = Vocabulary()
    pairs = [vocabulary.pair(*pair) for pair in (("b", "x"), ("a", "gone"), ("a", "y"), ("c", "x"))]
    sessions = Sessions.of(
        [[pairs[1], pairs[2]], [pairs[0], -1], [pairs[3], -1]],
        [[1, 1], [0, 0], [1, 0]],
        query=[1, 0, 2],
        surface=[0, 1, 0],
    )
    found = locate_rows(sessions, vocabulary, features)
    assert found.sessions.pair.tolist() == [[-1, 1], [2, -1]]
    assert found.sessions.clicks.tolist() == [[False, True], [False, False]]
    assert found.sessions.query.tolist() == [0, 1]
    assert found.sessions.surface.tolist() == [0, 1]
    assert (found.unknown_pages, found.unknown_documents) == (1, 2)
    with pytest.raises(InputError, match="None of the 1 pages"):
        locate_rows(sessions.take(np.array([2])), vocabulary, features)


def test_text_embeddings_become_features() -> None:
    queries = np.array([[1, 0], [0, 2]], np.float32)
    documents = np.array([[3, 0], [1, 1], [0, 5]], np.float32)
    found = text_features(queries, documents, np.array([0, 0, 1], np.int32), ["a", "b"], ["x", "y", "z"])
    assert found.width == 5
    np.testing.assert_allclose(found.matrix[:, -1], [1, 2**-0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(found.matrix[0], [3, 0, 2, 0, 1])
    assert found.rows["b", "z"] == 2


@given(
    pair=st.lists(st.lists(st.integers(-1, 60), min_size=3, max_size=3), min_size=1, max_size=8),
    far=st.sampled_from([0, 10_000]),
)
def test_distinct_pairs_and_their_places(pair: list[list[int]], far: int) -> None:
    codes = np.array(pair, dtype=np.int32)
    codes[codes >= 0] += far
    rows, place = distinct(codes)
    assert rows.tolist() == sorted(set(codes[codes >= 0].tolist()))
    shown = codes >= 0
    if shown.any():
        np.testing.assert_array_equal(rows[place[shown]], codes[shown])
    assert not place[~shown].any()


def test_batches_hold_every_page_once_and_keep_queries_together() -> None:
    data = judged(queries=30)
    log = clicked(data, position_bias(6), 500)
    parts = list(batches(log, None, 100, np.random.default_rng(0)))
    assert [len(part) for part in parts] == [100] * 5
    assert sum(float(part.clicks.sum()) for part in parts) == log.clicks.sum()
    assert sum(len(part.rows) for part in parts) < 1.4 * len(np.unique(log.pair))
    again = list(batches(log, None, 100, np.random.default_rng(0)))
    assert all(torch.equal(a.pair, b.pair) for a, b in zip(parts, again, strict=True))


def test_held_out_queries_are_not_trained_on() -> None:
    log = clicked(judged(queries=20), position_bias(6), 400)
    pages, held_out = split_queries(log, 0.25, np.random.default_rng(0))
    assert not set(pages.query) & set(held_out.query)
    assert len(pages) + len(held_out) == 400
    assert len(set(held_out.query)) == 5
    one = log.take(log.query == log.query[0])
    assert split_queries(one, 0.25, np.random.default_rng(0)) == (one, one)


def test_inverse_rank_frequency_evens_out_the_ranks_of_a_pair() -> None:
    sessions = Sessions.of([[0, 1], [0, 1], [0, 1], [1, 0], [2, -1]], np.zeros((5, 2)))
    weight = inverse_rank_frequency(sessions)
    for pair in (0, 1):
        first, second = (weight[:, rank][sessions.pair[:, rank] == pair].sum() for rank in (0, 1))
        assert first == pytest.approx(second) == pytest.approx(2.0)  # four impressions, two at each rank
    assert weight[4].tolist() == [1.0, 0.0]
    capped = inverse_rank_frequency(sessions, most=1.0)
    np.testing.assert_allclose(capped, sessions.shown)


def test_pooled_values_are_weighted_means_of_pairs() -> None:
    pages = Pages.of(Sessions.of([[0, 1], [1, -1]], [[1, 0], [0, 0]], weight=[1, 3]))
    pooled = pages.pooled(torch.tensor([[4.0, 1.0], [2.0, 9.0]]))
    np.testing.assert_allclose(pooled[:, 0], [4, (1 + 3 * 2) / 4])
    np.testing.assert_allclose(pooled[0, 1], (1 + 3 * 2) / 4)


def test_people_click_as_often_as_they_say() -> None:
    random, attracts = np.random.default_rng(0), np.array([0.9, 0.2, 0.6])
    many = np.tile(attracts, (40_000, 1))
    for bias in (position_bias(3), trust_bias(3)):
        rate = AffinePeople(bias).click(many, random).mean(axis=0)
        np.testing.assert_allclose(rate, bias.alpha[0] * attracts + bias.beta[0], atol=0.01)
    cascade = CascadePeople().click(many, random)
    assert (cascade.sum(axis=1) <= 1).all()
    np.testing.assert_allclose(cascade.mean(axis=0), [0.9, 0.1 * 0.2, 0.1 * 0.8 * 0.6], atol=0.01)
    np.testing.assert_allclose(trust_bias(2).beta[0], [0.65, 0.5 * 0.325])
    np.testing.assert_allclose(trust_bias(2).alpha[0], [0.98 - 0.65, 0.5 * (0.97 - 0.325)])
    with pytest.raises(InputError, match="no simulated people"):
        people("nobody", 3)  # type: ignore[arg-type]


def test_attraction_follows_the_grades() -> None:
    data = judged()
    chance = attraction(data, noise=0.1, top=4)
    np.testing.assert_allclose(chance[data.grades == 0], 0.1)
    np.testing.assert_allclose(chance[data.grades == 4], 1.0)
    np.testing.assert_allclose(chance[data.grades == 2], 0.1 + 0.9 * 3 / 15)


def test_simulated_pages_are_the_best_documents_of_a_query() -> None:
    data, random = judged(queries=5, documents=4), np.random.default_rng(0)
    scores = np.arange(20.0)
    log = simulate(data.features, scores, np.ones(20), AffinePeople(Bias.none(3)), 50, random, ranks=3)
    assert log.clicks.all()
    for page, query in zip(log.pair, log.query, strict=True):
        assert page.tolist() == [query * 4 + 3, query * 4 + 2, query * 4 + 1]
    mixed = simulate(data.features, scores, np.ones(20), AffinePeople(Bias.none(3)), 50, random, ranks=3, shuffled=True)
    assert {tuple(sorted(page)) for page in mixed.pair} == {tuple(sorted(page)) for page in log.pair}
    assert len({tuple(page) for page in mixed.pair}) > 5


def test_a_ranker_learns_from_grades() -> None:
    data = judged()
    scores = score_rows(graded_scorer(data, 1.0, np.random.default_rng(0)), len(data.features))
    assert ndcg(data, scores).mean() > 0.85


def test_ndcg_by_hand() -> None:
    grades = np.array([3, 0, 1, 0, 0, 2], np.float32)
    features = Features(
        np.zeros((6, 1), np.float32), np.array([0, 0, 0, 1, 1, 2], np.int32), ("a", "b", "c"), tuple("uvwxyz")
    )
    found = ndcg(Judged(features, grades), np.array([1.0, 3.0, 2.0, 0.0, 0.0, 0.0]), depth=2)
    ideal = 7 + 1 / np.log2(3)
    np.testing.assert_allclose(found, [(1 / np.log2(3)) / ideal, 1.0])  # b has nothing relevant
    constant = ndcg(Judged(features, grades), np.zeros(6), depth=1)
    np.testing.assert_allclose(constant, [1 / 7, 1.0])  # the later row first


def test_evidence_values_a_ranker_under_any_bias() -> None:
    sessions = Sessions.of([[0, 1, 2], [0, 1, -1]], [[1, 0, 1], [0, 1, 0]], weight=[1, 2])
    scores = np.array([0.0, 2.0, 1.0])
    worth = discounts(sessions, scores)
    np.testing.assert_allclose(worth, [[0.5, 1, 1 / np.log2(3)], [1 / np.log2(3), 1, 0]])
    evidence = Evidence.of(sessions, scores)
    plain = (1 * 0.5 + 1 / np.log2(3) + 2 * 1) / 4
    assert evidence.value() == pytest.approx(plain)
    weighted = (0.5 + 4 / np.log2(3) + 2 * 2 * 1) / (1 + 4 + 4)
    assert evidence.value(Bias.of([1.0, 0.5, 0.25])) == pytest.approx(weighted)
    clipped = (0.5 + 2 / np.log2(3) + 2 * 2 * 1) / (1 + 2 + 4)
    assert evidence.value(Bias.of([1.0, 0.5, 0.25]), clip=2.0) == pytest.approx(clipped)
    silent = Evidence.of(Sessions.of([[0]], [[0]]), scores)
    assert silent.value() == 0.0


def test_a_model_comes_back_from_disk(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(3, 5, (20, 4)).astype(np.float32)
    matrix[:, 3] = 7  # never varies
    scorer = new_scorer(matrix, hidden=(5, 3))
    model = Model(scorer.network, {"objective": "dla"})
    model.save(tmp_path / "ranker")
    again = Model.load(tmp_path / "ranker")
    np.testing.assert_array_equal(again.predict(matrix), model.predict(matrix))
    np.testing.assert_allclose(again.predict(matrix), score_rows(scorer, 20), rtol=1e-6)
    assert again.about["objective"] == "dla"
    other = matrix.copy()
    other[:, 3] = 1e6
    np.testing.assert_allclose(again.predict(other), again.predict(matrix))
    with pytest.raises(InputError, match="3 features"):
        again.predict(matrix[:, :3])
    assert sorted(path.name for path in (tmp_path / "ranker").iterdir()) == ["model.json", "model.safetensors"]


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Model.load(tmp_path)
    Model(Network(3, "linear")).save(tmp_path)
    about = (tmp_path / "model.json").read_text()
    for text in (
        "{",
        "[]",
        "{}",
        about.replace('"width": 3', '"width": 4'),
        about.replace("mlp", "x").replace(": 1,", ": 9,"),
    ):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(ConflictError, match="damaged"):
            Model.load(tmp_path)
    (tmp_path / "model.json").write_text(about)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConflictError, match="damaged"):
        Model.load(tmp_path)
