"""Our measures against the reference implementations, and their conventions."""

from __future__ import annotations

import shutil

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.measures import DEFAULTS, canonical, measure_all, measure_scores
from index.errors import InputError
from index.types import Ranking

DOCS = [f"d{i}" for i in range(12)] + ["é1", "ß2", "10", "9"]
QRELS = st.dictionaries(
    st.sampled_from("123"), st.dictionaries(st.sampled_from(DOCS), st.integers(0, 4), min_size=1), min_size=1
)
RUNS = st.dictionaries(
    st.sampled_from("1234"),
    st.dictionaries(st.sampled_from(DOCS), st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0]), min_size=1),
    min_size=1,
)
TREC_EVAL = ("nDCG@5", "nDCG", "AP", "AP(rel=2)@4", "P@3", "P(rel=2)@7", "R@5", "R(rel=3)@2", "RR", "RR(rel=2)")


@given(QRELS, RUNS)
def test_equal_to_trec_eval_ties_and_all(qrels: dict[str, dict[str, int]], run: dict[str, dict[str, float]]) -> None:
    mine = measure_scores(TREC_EVAL, qrels, run)
    for name in TREC_EVAL:
        found = ir_measures.pytrec_eval.iter_calc([ir_measures.parse_measure(name)], qrels, run)
        theirs = {metric.query_id: metric.value for metric in found}
        np.testing.assert_allclose(mine[name], [theirs[topic] for topic in qrels], atol=1e-12, err_msg=name)


@pytest.mark.skipif(not shutil.which("perl"), reason="gdeval needs perl")
def test_equal_to_gdeval() -> None:
    random = np.random.default_rng(0)
    qrels = {str(topic): {doc: int(random.integers(0, 5)) for doc in DOCS[:12]} for topic in range(1, 6)}
    run = {str(topic): dict(zip(DOCS, random.permutation(16).astype(float), strict=True)) for topic in range(1, 6)}
    for name in ("nDCG(dcg='exp-log2')@5", "ERR@5"):
        found = ir_measures.gdeval.iter_calc([ir_measures.parse_measure(name)], qrels, run)
        theirs = {metric.query_id: metric.value for metric in found}
        mine = measure_scores([name], qrels, run)[name]
        np.testing.assert_allclose(mine, [theirs[topic] for topic in qrels], atol=6e-6)  # gdeval prints five digits


def test_by_hand() -> None:
    qrels = {"1": {"a": 2, "b": 0, "c": 1}}
    run = {"1": Ranking(["b", "a", "x", "c"], np.zeros(4))}  # the order counts, not the scores
    values = {name: float(value[0]) for name, value in measure_all(DEFAULTS, qrels, run).items()}
    log = np.log2
    assert values["nDCG@20"] == pytest.approx((2 / log(3) + 1 / log(5)) / (2 + 1 / log(3)))
    assert values["nDCG(dcg='exp-log2')@20"] == pytest.approx((3 / log(3) + 1 / log(5)) / (3 + 1 / log(3)))
    assert values["AP@100"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert values["P@10"] == pytest.approx(0.2)
    assert values["R@100"] == 1.0
    assert values["RR"] == 0.5
    assert values["ERR@20"] == pytest.approx(3 / 16 / 2 + (1 - 3 / 16) * 1 / 16 / 4)
    assert values["Judged@20"] == pytest.approx(3 / 4)


def test_topics_without_ranking_or_relevant_documents_count_zero() -> None:
    qrels = {"1": {"a": 1}, "2": {"a": 1}, "3": {"a": 0}, "4": {"a": 1}}
    run = {"1": Ranking.of(["a"], [1.0]), "2": Ranking.empty(), "3": Ranking.of(["a"], [1.0])}
    for name, values in measure_all(DEFAULTS, qrels, run).items():
        assert values[1] == values[3] == 0.0, name
        assert values[0] > 0, name
        assert values[2] == (1.0 if name.startswith("Judged") else 0.0), name


def test_topics_of_the_run_without_judgements_are_left_out() -> None:
    run = {"1": Ranking.of(["a"], [1.0]), "9": Ranking.of(["a"], [1.0])}
    assert measure_all(["RR"], {"1": {"a": 1}}, run)["RR"].tolist() == [1.0]


def test_the_order_of_topics_can_be_chosen() -> None:
    run = {"1": Ranking.of(["a"], [1.0])}
    assert measure_all(["RR"], {"1": {"a": 1}, "2": {"a": 1}}, run, topics=["2", "1"])["RR"].tolist() == [0.0, 1.0]


def test_binary_measures_take_the_collections_least_relevant_grade() -> None:
    qrels, run = {"1": {"a": 1, "b": 2}}, {"1": Ranking.of(["a", "b"], [2.0, 1.0])}
    values = measure_all(["RR", "RR(rel=1)", "nDCG@2"], qrels, run, relevant=2)
    assert values["RR"].tolist() == [0.5]
    assert values["RR(rel=1)"].tolist() == [1.0]
    assert 0 < values["nDCG@2"][0] < 1  # graded: it keeps every grade


def test_measures_that_only_ir_measures_knows() -> None:
    qrels = {"topic-1": {"a": 1, "b": 0}, "topic-2": {"a": 1}}
    run = {"topic-1": Ranking.of(["b", "a"], [2.0, 1.0])}
    values = measure_all(["Rprec", "Bpref", "nDCG@10"], qrels, run)
    assert values["Rprec"].tolist() == values["Bpref"].tolist() == [0.0, 0.0]
    assert values["nDCG@10"][0] == pytest.approx(1 / np.log2(3))


def test_names_are_those_of_ir_measures() -> None:
    assert canonical(["NDCG@10", "MAP", "nDCG@10"]) == ("nDCG@10", "AP")


@pytest.mark.parametrize("name", ["nonsense", "nDCG@", "P", "nDCG(dcg='other')@3", "P@x", ""])
def test_unknown_measures(name: str) -> None:
    with pytest.raises(InputError, match="There is no measure"):
        canonical([name])
