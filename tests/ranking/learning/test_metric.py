"""Learning a metric: it finds what was planted, and keeps still where there is nothing to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from index.build import BuildOptions, build_index
from index.errors import ConflictError, InputError, NotFoundError
from index.index import Index
from index.types import Document, Query
from ranking.config import specs_with
from ranking.contract import Request
from ranking.learning.cheap_cli import app
from ranking.learning.judged import Epoch, Topic, Vectors
from ranking.learning.judged_topics import Judgements, located, read_queries
from ranking.learning.metric import MetricTraining, quality, train_metric
from ranking.learning.on_index import learn_metric
from ranking.pipeline import Pipeline
from ranking.qrels import read_qrels
from tests.fakes import HashingEncoder

DIMENSION, CLASSES, EACH = 16, 12, 20
SPECS = specs_with(
    {
        "plain": {"stages": [{"part": "knn"}]},
        "learned": {"stages": [{"part": "knn", "space": "learned"}]},
    },
    "the test",
)
TRAINING = MetricTraining(epochs=6, rate=0.02, penalty=1e-4, negatives=30)


def unit(rows: np.ndarray) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def planted(noise: float, seed: int = 0) -> tuple[Vectors, list[Topic]]:
    """Documents of twelve classes: four dimensions say which, the others are noise of this size."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(CLASSES, 4))
    labels = np.repeat(np.arange(CLASSES), EACH)
    told = centres[labels] + 0.2 * random.normal(size=(len(labels), 4))
    documents = unit(np.hstack([told, noise * random.normal(size=(len(labels), DIMENSION - 4))]))
    topics = []
    for wanted in np.tile(np.arange(CLASSES), 5):
        query = np.hstack([centres[wanted], noise * random.normal(size=DIMENSION - 4)])
        relevant = random.permutation(np.flatnonzero(labels == wanted))
        refused = random.permutation(np.flatnonzero(labels != wanted))[:40]
        topics.append(Topic(unit(query[None])[0], relevant, refused))
    return documents, topics


def test_it_learns_which_differences_matter() -> None:
    documents, topics = planted(noise=1.0)
    epochs: list[Epoch] = []
    learned = train_metric(documents, topics, TRAINING, epochs.append)
    assert learned.gain.confirmed
    assert learned.gain.learned > learned.gain.plain + 0.1
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].loss < epochs[0].loss
    assert learned.gain.learned == pytest.approx(max(epoch.ndcg for epoch in epochs))
    others, unseen = planted(noise=1.0, seed=1)
    unchanged = np.eye(DIMENSION, dtype=np.float32)
    assert quality(others, unseen, learned.matrix).mean() > quality(others, unseen, unchanged).mean()


def test_the_same_seed_learns_the_same() -> None:
    documents, topics = planted(noise=1.0)
    first, second = (train_metric(documents, topics, TRAINING).matrix for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_where_nothing_is_to_be_learned_it_is_not_confirmed() -> None:
    documents, topics = planted(noise=1.0)
    random = np.random.default_rng(3)
    guesses = [Topic(topic.query, *np.split(random.permutation(len(documents)), [10])) for topic in topics]
    assert not train_metric(documents, guesses, TRAINING).gain.confirmed


def test_that_the_query_counts_for_less_is_no_gain_of_it() -> None:
    """Judgements at random, the given documents those most like the query: nothing is to be learned. At 5 % a draw in
    twenty is confirmed, more than four in one run of 400."""
    confirmed = 0
    for seed in range(20):
        documents, topics = planted(noise=1.0, seed=seed)
        random, drawn = np.random.default_rng(seed), []
        for topic in topics:
            relevant, refused = np.split(random.permutation(len(documents)), [10])
            alike = documents[relevant] @ topic.query
            drawn.append(Topic(topic.query, relevant[np.argsort(-alike)], refused))
        confirmed += train_metric(documents, drawn, replace(TRAINING, folds=3)).gain.confirmed
    assert confirmed <= 4


def test_quality_is_ndcg_of_the_nearest() -> None:
    documents = unit(np.array([[1, 0.0], [1, 0.1], [1, 0.2], [0, 1.0], [0.1, 1.0]]))
    topic = Topic(unit(np.array([[1.0, 0.0]]))[0], np.array([0, 2]), np.array([3]))
    # Document 0 is given; 1 is nearer than 2, which is the only one left to find: rank 2.
    value = quality(documents, [topic], np.eye(2, dtype=np.float32))
    assert value[0] == pytest.approx(1 / np.log2(3))


def test_too_few_topics() -> None:
    documents, topics = planted(noise=1.0)
    with pytest.raises(InputError, match="too few to learn"):
        train_metric(documents, topics[:15], TRAINING)


def write_folder(folder: Path) -> None:
    """Judgements of the small corpus: for each of its words the documents of the word's topic that hold it."""
    words = {
        "coffee": "espresso beans roast grinder brew filter crema",
        "sailing": "boat mast keel rudder wind tack jib",
        "python": "function module class iterator generator decorator exception",
        "astronomy": "star planet telescope orbit galaxy nebula comet",
    }
    queries, lines = [], ["query-id\tcorpus-id\tscore"]
    for topic, line in words.items():
        for word in line.split():
            queries.append(json.dumps({"_id": word, "text": word}))
            lines += [f"{word}\t{topic}-{part:02d}\t{1 + part % 2}" for part in range(12)]
            lines.append(f"{word}\tmedicine-01\t0")
    (folder / "queries.jsonl").write_text("\n".join(queries), encoding="utf-8")
    (folder / "train.tsv").write_text("\n".join(lines), encoding="utf-8")


def test_topics_are_read_with_their_near_misses(tmp_path: Path, dense_index: Index) -> None:
    write_folder(tmp_path)
    queries, qrels = read_queries(tmp_path / "queries.jsonl"), read_qrels(tmp_path / "train.tsv")
    found = located(dense_index, Judgements(queries, qrels))
    topics = found.topics
    assert len(found.ids) == len(found.vectors) == 60
    assert len(topics) == len(queries) == len(qrels) == 28
    assert all(len(topic.relevant) == 12 and len(topic.refused) for topic in topics)
    assert all(not set(topic.relevant) & set(topic.refused) for topic in topics)
    graded = located(dense_index, Judgements(queries, qrels, relevant=2)).topics
    assert all(len(topic.relevant) == 6 for topic in graded)


def test_of_clicks_only_what_was_shown_is_known(tmp_path: Path, dense_index: Index) -> None:
    write_folder(tmp_path)
    queries, qrels = read_queries(tmp_path / "queries.jsonl"), read_qrels(tmp_path / "train.tsv")
    found = located(dense_index, Judgements(queries, qrels, complete=False))
    for name, topic in zip(sorted(queries), found.topics, strict=True):
        assert topic.condensed
        assert {found.ids[row] for row in topic.relevant} == {doc for doc, grade in qrels[name].items() if grade}
        assert [found.ids[row] for row in topic.refused] == ["medicine-01"]


@pytest.mark.parametrize(
    ("queries", "qrels", "problem"),
    [
        ({"other": "boat"}, {"boat": {"sailing-01": 1}}, "None of the judged topics has a query"),
        ({"boat": "boat"}, {"boat": {"sailing-1": 1}}, "None of the judged documents is in the index"),
    ],
)
def test_what_does_not_belong_together(
    queries: dict[str, str], qrels: dict[str, dict[str, int]], problem: str, dense_index: Index
) -> None:
    with pytest.raises(InputError, match=problem):
        located(dense_index, Judgements(queries, qrels))


def test_bad_files(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("a\tb\t1\nnothing", encoding="utf-8")
    with pytest.raises(InputError, match=r":2: 1 columns where judgements have 4 \(TREC\) or 3 \(BEIR\)"):
        read_qrels(bad)
    with pytest.raises(InputError, match="line 1 is no query"):
        read_queries(bad)
    with pytest.raises(NotFoundError):
        read_queries(tmp_path / "none")
    bad.write_bytes('{"_id": "1", "text": "café"}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"line 1 is no query.*in UTF-8"):
        read_queries(bad)


def test_judgements_of_either_form_teach_the_same(
    tmp_path: Path, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first line of TREC's form is a judgement like the others."""
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    write_folder(tmp_path)
    rows = [line.split("\t") for line in (tmp_path / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    (tmp_path / "trec.qrels").write_text("".join(f"{q} 0 {doc} {grade}\n" for q, doc, grade in rows), encoding="utf-8")
    assert read_qrels(tmp_path / "trec.qrels") == read_qrels(tmp_path / "train.tsv")
    given = ["metric", str(new_index().path), "--queries", str(tmp_path / "queries.jsonl")]
    given += ["--epochs", "1", "--folds", "2"]
    beir, trec = (call([*given, "--qrels", str(tmp_path / name)]) for name in ("train.tsv", "trec.qrels"))
    assert trec == beir


def test_the_command_keeps_a_metric_that_rankers_then_use(
    tmp_path: Path, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    index = new_index()
    write_folder(tmp_path)
    given = [
        "--queries",
        str(tmp_path / "queries.jsonl"),
        "--qrels",
        str(tmp_path / "train.tsv"),
        "--folds",
        "2",
    ]
    request = Request(Query("q", "boat"))
    pipeline = Pipeline(SPECS["learned"], index)
    plain, version = pipeline.rank([request]), pipeline.version
    assert plain == Pipeline(SPECS["plain"], index).rank([request])

    kept = call(["metric", str(index.path), *given, "--force", "--epochs", "2"])
    assert kept["kept"]
    assert (kept["topics"], kept["folds"]) == (28, 2)
    index = Index.open(index.path, encoder=HashingEncoder())
    pipeline = Pipeline(SPECS["learned"], index)
    moved = pipeline.rank([request])
    assert moved != plain
    assert pipeline.version != version

    assert CliRunner().invoke(app, ["metric", str(index.path), "--forget"]).exit_code == 0
    assert pipeline.rank([request]) == plain
    assert pipeline.version == version


def test_what_was_learned_belongs_to_the_vectors_that_were_read(
    tmp_path: Path, new_index: Callable[..., Index], corpus: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is built anew, of fewer documents, while a metric is learned."""
    index = new_index()
    write_folder(tmp_path)

    def meanwhile(*given: Any, **options: Any) -> Any:
        build_index(index.path, corpus[:40], BuildOptions(overwrite=True), encoder=HashingEncoder())
        return train_metric(*given, **options)

    monkeypatch.setattr("ranking.learning.on_index.train_metric", meanwhile)
    judgements = Judgements(read_queries(tmp_path / "queries.jsonl"), read_qrels(tmp_path / "train.tsv"))
    with pytest.raises(ConflictError, match="other vectors"):
        learn_metric(index, judgements, MetricTraining(epochs=1, folds=2), force=True)


def call(arguments: list[str]) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    outcome: dict[str, Any] = json.loads(result.stdout)
    return outcome
