"""Learning what is relevant together: it finds what was planted, and keeps still where there is nothing to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from index.cli import app as index_app
from index.errors import InputError
from index.index import Index
from index.types import Query
from index.vectors import unit_rows
from ranking.config import load_specs
from ranking.contract import Request
from ranking.feedback import Feedback
from ranking.learning.cheap_cli import app
from ranking.learning.co_relevance import STRENGTHS, CoRelevanceTraining, factors_of, regression_of, train_co_relevance
from ranking.learning.judged import Topic, Vectors
from ranking.learning.judged_topics import read_queries
from ranking.pipeline import Pipeline
from tests.fakes import HashingEncoder
from tests.ranking.learning.test_metric import call, write_folder

DIMENSION, GROUPS, EACH = 8, 10, 12


def planted(seed: int = 0, *, together: bool = True) -> tuple[Vectors, list[Topic]]:
    """Documents whose vectors say nothing, and topics to which six of one group's documents are relevant each; without
    `together` six of any."""
    random = np.random.default_rng(seed)
    documents = unit_rows(random.normal(size=(GROUPS * EACH, DIMENSION)).astype(np.float32))
    topics = []
    for group in np.tile(np.arange(GROUPS), 8):
        pool = np.arange(EACH) + group * EACH if together else np.arange(len(documents))
        relevant = random.permutation(pool)[:6]
        refused = np.setdiff1d(random.permutation(len(documents))[:40], relevant)
        query = unit_rows(random.normal(size=(1, DIMENSION)).astype(np.float32))[0]
        topics.append(Topic(query, relevant, refused))
    return documents, topics


def test_it_learns_what_no_text_says() -> None:
    documents, topics = planted()
    learned = train_co_relevance(documents, topics)
    assert learned.gain.confirmed
    assert learned.with_feedback[1] > learned.with_feedback[0] + 0.3
    assert learned.gain.topics == len(topics)
    assert learned.strength in STRENGTHS
    cosines = learned.factors @ learned.factors.T
    same = learned.rows[:, None] // EACH == learned.rows // EACH
    assert cosines[same].mean() > 0.4
    assert np.abs(cosines[~same]).max() < 1e-6


def test_a_first_page_profits_from_what_others_found() -> None:
    """Queries of a group are alike and its documents are not: only what others found tells which they are. Where
    queries say nothing there is no such gain, and what feedback gains has to make up for it."""
    documents, topics = planted()
    random = np.random.default_rng(1)
    centres = random.normal(size=(GROUPS, DIMENSION))
    queries = unit_rows(centres[np.tile(np.arange(GROUPS), 8)] + 0.2 * random.normal(size=(len(topics), DIMENSION)))
    alike = [replace(topic, query=query.astype(np.float32)) for topic, query in zip(topics, queries, strict=True)]
    plain, learned = train_co_relevance(documents, alike).first_page
    assert learned > plain + 0.3
    plain, learned = train_co_relevance(documents, topics).first_page
    assert learned < plain + 0.1


def test_the_regression_is_that_of_least_squares() -> None:
    _, topics = planted()
    rows, factors = factors_of(topics, 20)
    found = regression_of(topics, rows, factors, 0.3)
    wanted = unit_rows(np.stack([factors[np.isin(rows, topic.relevant)].sum(axis=0) for topic in topics]))
    queries = np.stack([topic.query for topic in topics])
    padded = np.vstack([queries, np.sqrt(0.3) * np.eye(DIMENSION)])  # the penalty as observations of nothing
    expected = np.linalg.lstsq(padded, np.vstack([wanted, np.zeros((DIMENSION, 20))]), rcond=None)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_where_nothing_is_relevant_together_it_is_not_confirmed() -> None:
    assert not train_co_relevance(*planted(together=False)).gain.confirmed


def test_that_the_query_counts_for_less_is_no_gain_of_it() -> None:
    """Judgements at random, the given documents those most like the query: then less of the query is better, whoever
    was relevant with whom. At 5 % a draw in twenty is confirmed."""
    confirmed = 0
    for seed in range(20):
        documents, topics = planted(seed, together=False)
        likest = [
            replace(topic, relevant=topic.relevant[np.argsort(-documents[topic.relevant] @ topic.query)])
            for topic in topics
        ]
        confirmed += train_co_relevance(documents, likest, CoRelevanceTraining(folds=4)).gain.confirmed
    assert confirmed <= 4  # of twenty at 5 %: more than that in one run of 400


def test_factors_are_cosines_of_what_documents_are_relevant_to() -> None:
    query = np.zeros(2, np.float32)
    relevant = [[0, 1], [1, 2], [5, 6, 7, 8]]
    topics = [Topic(query, np.array(rows), np.array([9])) for rows in relevant]
    rows, factors = factors_of(topics, 256)
    assert rows.tolist() == [0, 1, 2, 5, 6, 7, 8]
    cosines = factors @ factors.T
    half = 0.5**0.5
    np.testing.assert_allclose(cosines[:3, :3], [[1, half, 0], [half, 1, half], [0, half, 1]], atol=1e-6)
    np.testing.assert_allclose(cosines[3:, 3:], 1.0, atol=1e-6)
    np.testing.assert_allclose(cosines[:3, 3:], 0.0, atol=1e-6)


def test_fewer_factors_come_near_to_all() -> None:
    topics = planted()[1]
    _, whole = factors_of(topics, 256)
    rows, few = factors_of(topics, 40)
    assert few.shape == (len(rows), 40)
    assert whole.shape == (len(rows), len(topics))
    assert np.linalg.norm(few, axis=1).max() <= 1.0 + 1e-5
    values = np.linalg.svd(whole, compute_uv=False)
    lost = np.linalg.norm(whole @ whole.T - few @ few.T)
    assert lost == pytest.approx(
        np.sqrt((values[40:] ** 4).sum()), rel=1e-3
    )  # no 40 factors come nearer (Eckart, Young)


def test_the_same_seed_learns_the_same() -> None:
    first, second = (train_co_relevance(*planted(), CoRelevanceTraining(rank=20, folds=3)) for _ in range(2))
    np.testing.assert_array_equal(first.factors, second.factors)
    assert first.gain == second.gain


def test_too_few_topics() -> None:
    documents, topics = planted()
    with pytest.raises(InputError, match="too few to learn co-relevance"):
        train_co_relevance(documents, topics[:15])


def test_what_is_relevant_is_enough() -> None:
    documents, topics = planted()
    alone = [replace(topic, refused=topic.refused[:0]) for topic in topics]
    assert train_co_relevance(documents, alone).gain == train_co_relevance(documents, topics).gain


def test_the_command_keeps_what_pipelines_then_use(
    tmp_path: Path, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    index = new_index()
    write_folder(tmp_path)
    asked = read_queries(tmp_path / "queries.jsonl")
    words = list(asked)  # seven of each topic, one after the other: each is asked beside the one that comes before it
    lines = [
        {"_id": word, "text": f"{words[at - 1 if at % 7 else at + 6]} {text}"}
        for at, (word, text) in enumerate(asked.items())
    ]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    files = ["--queries", str(tmp_path / "queries.jsonl"), "--qrels", str(tmp_path / "train.tsv")]
    pipeline = Pipeline(load_specs()["smoothed"], index)
    request = Request(Query("q", "boat"), Feedback.judged(relevant=["coffee-01", "coffee-07"]))
    plain, version = pipeline.rank([request]), pipeline.version

    outcome = call(["co-relevance", str(index.path), *files, "--rank", "8"])
    assert outcome["kept"]
    assert (outcome["topics"], outcome["folds"], outcome["documents"], outcome["rank"]) == (28, 10, 48, 8)
    assert outcome["learned"] > outcome["plain"]
    assert pipeline.version != version
    learned = pipeline.rank([request])
    assert learned != plain
    assert {doc.split("-")[0] for doc in learned[0].ids[:12]} == {"coffee"}
    told = CliRunner().invoke(index_app, ["info", str(index.path)])
    assert "co-relevance (28 topics of train.tsv)" in told.stdout

    with (tmp_path / "train.tsv").open("a", encoding="utf-8") as qrels:
        qrels.write("\nboat\tsailing-99\t1\nboat\tsailing-98\t0\nalone\tcoffee-01\t1")
    lines.append({"_id": "alone", "text": "alone"})  # one relevant document: too few to count
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    said = CliRunner().invoke(app, ["co-relevance", str(index.path), *files, "--rank", "8"])
    assert said.stdout.startswith(
        "Judged documents that the index does not have: 2. nDCG@20 of 28 topics that count, of 29"
    )
    assert "First pages 0." in said.stdout
    assert "It is kept with the index." in said.stdout

    assert CliRunner().invoke(app, ["co-relevance", str(index.path), "--forget"]).exit_code == 0
    assert pipeline.rank([request]) == plain
    assert pipeline.version == version
