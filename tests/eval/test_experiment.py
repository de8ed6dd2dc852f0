"""Whole experiments on a small collection: what they find, what they reuse, what an interruption costs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.analysis import ALL, Analysis
from eval.bench import Bench
from eval.config import merged, parse_config, read_config
from eval.experiment import Results, run_experiment
from eval.jobs import Job, Jobs
from eval.measures import measure_all
from eval.protocol import Residual
from eval.rankers import Taught
from eval.store import Journal, Store
from eval.tabulate import main_table, published_table, taught_table
from eval.teaching import clicked, lesson
from index.errors import InputError, NotFoundError
from index.generations import generation_path
from index.index import Index
from index.learned import stored_digest
from index.types import Query
from ranking.config import load_specs
from ranking.contract import Request
from ranking.expansion import Rocchio
from ranking.feedback import Feedback
from ranking.learning.judged_topics import Judgements
from ranking.pipeline import Pipeline
from tests.eval.conftest import Place
from tests.eval.made import topics, write_covid, write_news, write_robust, write_touche
from tests.fakes import HashingEncoder


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the index was opened though everything is in the cache")

    monkeypatch.setattr(Index, "open", refuse)


def test_values_are_those_of_the_pipelines_by_the_protocol(results: Results) -> None:
    """One figure from first principles: the pipeline of the server, the residual collection, ir_measures."""
    found = results.collections["small"]
    index = Index.open(found.bench.path, encoder=HashingEncoder())
    pipeline = Pipeline(load_specs()["fused"], index)
    values = []
    for episode in found.bench.episodes.kept:
        given = Feedback.from_grades(episode.feedback[2])
        assert (len(given.positive), len(given.negative)) == (2, 2)
        (ranking,) = pipeline.rank([Request(Query("", topics()[episode.topic]), given)])
        rest = {d: g for d, g in found.collection.qrels[episode.topic].items() if d not in episode.removed}
        values.append(measure_all(["nDCG@5"], {"t": rest}, {"t": ranking.without(episode.removed)})["nDCG@5"][0])
    job = Job(found.variants["fused"][0], 2)
    np.testing.assert_allclose(found.measured[job].rounds[1]["nDCG@5"], values, atol=1e-12)
    assert 0 < np.mean(values) < 1


def test_feedback_documents_are_in_no_ranking(results: Results) -> None:
    found = results.collections["small"]
    jobs = Jobs(found.bench)
    removed = {episode.topic: set(episode.removed) for episode in found.bench.episodes.kept}
    for job in found.measured:
        for topic, (answer,) in jobs.answers(job).items():
            assert not removed[topic] & set(answer.ranking.ids)
            assert len(answer.ranking)


def test_feedback_can_be_withheld(results: Results) -> None:
    measured = results.collections["small"].measured
    values = [measured[job].rounds[1]["nDCG@5"].tolist() for job in measured if job.variant.ranker == "bm25"]
    assert values[0] == values[1]


def test_latencies_add_up_also_of_shared_stages(results: Results) -> None:
    for job, measured in results.collections["small"].measured.items():
        stages = [taken for stage, taken in measured.times.items() if stage != "total"]
        np.testing.assert_allclose(np.sum(stages, axis=0), measured.times["total"], atol=1e-3)
        assert set(measured.times) >= {stage.name for stage in job.variant.spec.stages}
        assert ("encode" in measured.times) == job.variant.spec.needs_vectors
        assert (measured.times["total"] > 0).all()


def test_a_second_run_opens_no_index(place: Place, results: Results, no_index: None) -> None:
    again = place.run()
    assert again.digest == results.digest
    assert Analysis(again).means == Analysis(results).means


def test_stages_that_rankers_share_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, str, str]] = []
    rank = Rocchio.rank

    def counted(self: Rocchio, requests: Any, context: Any) -> Any:
        asked.extend((self, request.query.id, request.feedback.digest) for request in requests)
        return rank(self, requests, context)

    monkeypatch.setattr(Rocchio, "rank", counted)
    found = Place(tmp_path).run().collections["small"]
    assert len(found.variants["knn"]) == 3
    assert len(asked) == len(set(asked)) == 2 * 2 * len(found.topics)  # the paper's terms and ours, at two k


def test_only_what_is_new_is_ranked(place: Place, results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[Job] = []
    make = Jobs.make
    monkeypatch.setattr(Jobs, "make", lambda self, jobs, progress: (ranked.extend(jobs), make(self, jobs, progress)))
    place.run({"rankers": {"probe": {}}, "protocol": {"k": [1, 2]}})
    assert {job.variant.ranker for job in ranked} == {"probe"}
    ranked.clear()
    place.run({"measures": ["RR"], "protocol": {"seeds": [7], "split": [0.0, 0.5, 0.5]}})
    assert not ranked


def test_an_interruption_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Results) -> None:
    place = Place(tmp_path)
    add, added = Journal.add, Counter[str]()

    def interrupted(self: Journal, topic: str, record: object) -> None:
        if added.total() == 47:
            raise KeyboardInterrupt
        added[topic] += 1
        add(self, topic, record)

    monkeypatch.setattr(Journal, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.run()
    first, added = added, Counter()
    monkeypatch.setattr(Journal, "add", lambda self, topic, record: (added.update([topic]), add(self, topic, record)))
    again = place.run()
    assert first.total() == 47
    found = again.collections["small"]
    assert first.total() + added.total() == (7 * 2 - 1) * len(found.topics)  # bm25 is the same for both k
    assert Analysis(again).means == Analysis(results).means


def test_hyper_parameters_are_chosen_on_validation_topics(results: Results) -> None:
    analysis, found = Analysis(results), results.collections["small"]
    for seed in (0, 1):
        mask = np.array([found.splits[seed][topic] == "validation" for topic in found.topics])
        reached = {
            variant: np.mean([found.measured[Job(variant, k)].rounds[1]["nDCG@5"][mask].mean() for k in (1, 2)])
            for variant in found.variants["knn"]
        }
        chosen = {analysis.chosen["small", "knn"][seed, k] for k in (1, 2)}
        assert len(chosen) == 1
        assert reached[chosen.pop()] == max(reached.values())


def test_choices_may_differ_by_k(place: Place) -> None:
    analysis = Analysis(place.run({"protocol": {"tune": "k"}}))
    found = analysis.results.collections["small"]
    for (seed, k), variant in analysis.chosen["small", "knn"].items():
        mask = np.array([found.splits[seed][topic] == "validation" for topic in found.topics])
        values = [found.measured[Job(v, k)].rounds[1]["nDCG@5"][mask].mean() for v in found.variants["knn"]]
        assert found.measured[Job(variant, k)].rounds[1]["nDCG@5"][mask].mean() == max(values)


def test_means_are_over_test_topics_seeds_and_k(results: Results) -> None:
    analysis, found = Analysis(results), results.collections["small"]
    variant = found.variants["fused"][0]
    values = []
    for seed in (0, 1):
        mask = np.array([found.splits[seed][topic] == "test" for topic in found.topics])
        values += [found.measured[Job(variant, k)].rounds[1]["nDCG@5"][mask].mean() for k in (1, 2)]
    assert analysis.means["fused"]["small"] == pytest.approx(np.mean(values))
    comparison = analysis.comparisons["fused", "small"]
    assert comparison.difference == pytest.approx(analysis.means["fused"]["small"] - analysis.means["bm25-qe"]["small"])
    summary: dict[str, Any] = analysis.summary()
    ours, paper = summary["best_of_ours"], summary["best_of_paper"]
    gain = summary["mean_ndcg20"][ours] - summary["mean_ndcg20"][paper]
    assert summary["gain_over_paper"] == pytest.approx(gain)
    assert {ours, paper} <= {"knn", "fused", "bm25-qe", "rrf-paper"}


@pytest.mark.parametrize("feedback", ["judged", "clicks"])
def test_sessions_are_measured_after_every_round(place: Place, feedback: str) -> None:
    change = {"protocol": {"rounds": 2, "residual": "control", "page": 4, "feedback": feedback, "k": [2]}}
    found = place.run(change).collections["small"]
    job = Job(found.variants["fused"][0], 2)
    rounds = found.measured[job].rounds
    assert list(rounds) == [0, 1, 2]
    if feedback == "judged":
        assert rounds[2]["nDCG@5"].mean() > rounds[0]["nDCG@5"].mean()
    answers = Jobs(found.bench).answers(job)
    residual = Residual.of(found.bench.protocol, ())
    assert all(residual.keeps(doc) for three in answers.values() for answer in three for doc in answer.ranking.ids)


def test_clicks_instead_of_judgements(place: Place) -> None:
    change = {"protocol": {"feedback": "clicks"}, "user": {"model": "dynamic-bayesian"}}
    found = place.run(change).collections["small"]
    assert found.bench.episodes.facts["relevant feedback documents"] > 0


@pytest.mark.parametrize(
    ("write", "spec"),
    [
        (write_robust, {"documents": "documents", "format": "trec", "topics": "topics.txt", "query": "description"}),
        (write_covid, {"documents": "corpus", "format": "cord19", "topics": "topics.xml", "query": "description"}),
        (write_news, {"documents": "articles.jl", "format": "wapo", "topics": "topics.xml"}),
        (write_touche, {"documents": "args-me.json", "format": "args.me", "topics": "topics.xml"}),
    ],
)
def test_the_protocol_on_the_papers_file_formats(
    tmp_path: Path, write: Callable[[Path], Path], spec: dict[str, Any]
) -> None:
    """The packaged configuration of each data set, on a small collection in its own file format."""
    write(tmp_path / "it")
    name = {write_robust: "robust04", write_covid: "trec-covid", write_news: "trec-news", write_touche: "touche"}[write]
    tables = read_config(name)
    ((collection, packaged),) = tables["collections"].items()
    relevant = 1 if write is write_robust else 2
    files = {**spec, "qrels": "qrels.txt", "relevant": min(packaged.get("relevant", 1), relevant)}
    tables["collections"] = {collection: files}
    quick = {"k": [1, 2], "min_judged": 3, "fill_from": 5}
    tables = merged({**tables, "data": str(tmp_path / "it")}, {"protocol": quick, "statistics": {"resamples": 100}})
    results = run_experiment(parse_config(tables, name), Store(tmp_path / "cache"), encoder=HashingEncoder())
    found = results.collections[collection]
    assert len(found.topics) >= 15
    analysis = Analysis(results)
    assert analysis.means["bm25-qe"][ALL] > 0.5
    if write is write_covid:
        again = Bench(found.collection, results.experiment, found.bench.store)
        assert again.excluded == found.bench.excluded  # though nothing is read again
        assert again.excluded["papers without a cord_uid"] == 1
    if write is write_news:  # the query is the title of an article, which is not among the answers
        episode = found.bench.episodes.kept[0]
        assert episode.query == topics()[episode.topic]
        assert episode.removed[-1] == f"asked-{episode.topic}"
    if write is write_touche:
        assert found.bench.episodes.notes == ("Of the non-relevant feedback documents 100% are unjudged.",)
    rows = {row[1]: row for row in published_table(analysis).rows}
    mine, theirs = analysis.means["knn-paper"][collection], results.experiment.published[collection]["kNN"]
    assert rows["kNN"] == [collection, "kNN", theirs, "knn-paper", mine, mine - theirs]
    assert rows["CE zero-shot"][3:] == [None, None, None]


def test_a_missing_collection_stops_or_is_skipped_and_reported(place: Place) -> None:
    change = {"collections": {"gone": {"source": "gone"}}}
    with pytest.raises(NotFoundError, match="no collection folder"):
        place.run(change)
    results = place.run(change, skip_missing=True)
    assert list(results.collections) == ["small"]
    assert "gone" in results.skipped["gone"]
    assert "gone" in Analysis(results).summary()["skipped"]  # type: ignore[operator]
    with pytest.raises(NotFoundError, match="None of the collections"):
        place.run({"collections": {"small": {"source": "gone"}}}, skip_missing=True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"protocol": {"k": [13]}}, "No topic of the collection 'small' is left"),
        ({"protocol": {"split": [0.5, 0.0, 0.5]}}, "'knn' has a grid, and no topics are for validation"),
        (
            {"protocol": {"measured": "train"}, "rankers": {"bm25": {"learns": ["metric"]}}},
            "'bm25' learns from training topics",
        ),
        (
            {"rankers": {"bm25": {"learns": ["metric"], "learns_from": "clicks"}}},
            "'bm25' learns from clicks, and nobody searched before",
        ),
        ({"collections": {"small": {"source": "pydocs", "teach": "train"}}}, "one of a BEIR folder"),
        ({"protocol": {"measured": "all"}}, "'knn' has a grid, and would be measured on the topics that choose"),
        ({"protocol": {"first": "bm26"}}, "no pipeline 'bm26'"),
        ({"rankers": {"x": {"pipeline": "fusd"}}}, "Did you mean 'fused'"),
    ],
)
def test_experiments_that_cannot_work(place: Place, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        place.run(change)


def test_a_ranker_learns_from_training_topics_alone(tmp_path: Path) -> None:
    """On a copy of the index for each seed; its topics are in no other part of the split, and others rank as before."""
    place = Place(tmp_path)
    both = ("metric", "co-relevance")
    learned, more = ({"pipeline": "smoothed", "learns": list(parts)} for parts in (("metric",), both))
    rankers = {"learned": learned, "more": more, "smoothed": {}}
    results = place.run({"rankers": rankers, "protocol": {"split": [0.8, 0.1, 0.1]}})
    found = results.collections["small"]
    for seed in (0, 1):
        texts, qrels = lesson(found.bench, seed)
        assert set(texts) == set(qrels) == {topic for topic, part in found.splits[seed].items() if part == "train"}
        taught = found.bench.taught(Taught(seed, ("metric",)))
        assert taught.path != found.bench.path
        assert taught.learned["metric"]["topics"] == 16
        assert stored_digest(generation_path(taught.path, "000001")) != ""
        further = found.bench.taught(Taught(seed, both))
        assert further.path not in (taught.path, found.bench.path)
        assert further.learned["metric"] == taught.learned["metric"]
        assert further.learned["co-relevance"]["topics"] == 16
    assert stored_digest(generation_path(found.bench.path, "000001")) == ""
    assert taught.path != found.bench.taught(Taught(0, ("metric",))).path
    analysis = Analysis(results)
    assert [analysis.chosen["small", "learned"][seed, 1].taught.seed for seed in (0, 1)] == [0, 1]  # type: ignore[union-attr]
    assert analysis.chosen["small", "smoothed"][0, 1].taught is None
    rows = taught_table(analysis).rows
    told = [["small", part, "judgements", str(seed), 16] for part in both for seed in (0, 1)]
    assert [row[:5] for row in rows] == told
    assert [row[-1] for row in rows[:2]] == ["kept", "kept"]


def test_a_ranker_learns_from_clicks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those who searched for the training topics before, asked once; nothing of what nobody was shown."""
    place = Place(tmp_path)
    learned = {"pipeline": "smoothed", "learns": ["co-relevance"], "learns_from": "clicks"}
    change = {
        "rankers": {"learned": learned, "smoothed": {}},
        "protocol": {"split": [0.8, 0.1, 0.1], "searchers": 50, "page": 4},
        "user": {"model": "position-based", "noise": 0.0},
    }
    results = place.run(change)
    bench = results.collections["small"].bench
    texts, qrels = lesson(bench, 0)
    told = clicked(bench, Judgements(texts, qrels))
    assert not told.complete
    first = Pipeline(bench.first, bench.index)
    good = 0
    for topic, grades in told.qrels.items():
        (ranking,) = first.rank([Request(Query(topic, texts[topic]), limit=8)])
        assert grades.keys() <= set(ranking.ids)
        assert all(qrels[topic].get(doc, 0) > 0 for doc, grade in grades.items() if grade)  # no click is in vain
        good += sum(grades.values())
    assert good > 2 * len(told.qrels)
    rows = taught_table(Analysis(results)).rows
    assert [row[:4] for row in rows] == [["small", "co-relevance", "clicks", seed] for seed in ("0", "1")]
    monkeypatch.setattr("eval.teaching.looks", lambda *_, **__: pytest.fail("they were asked again"))
    assert clicked(bench, Judgements(texts, qrels)) == told


def test_where_nothing_is_learned_rankings_stay(tmp_path: Path) -> None:
    place = Place(tmp_path)
    learning = {"rankers": {"learned": {"pipeline": "smoothed", "learns": ["metric"]}, "smoothed": {}}}
    analysis = Analysis(place.run(learning))
    assert analysis.means["learned"] == analysis.means["smoothed"]
    assert all("too few" in str(row[-1]) for row in taught_table(analysis).rows)
    counted, untaught = main_table(analysis).notes[-2:]
    assert counted == "Topics measured in a split, of those kept, of those there are: small 8 of 20 of 20."
    assert untaught.startswith("Nothing was learned for learned on small")


def test_a_split_that_teaches(tmp_path: Path) -> None:
    """Its topics are learned from under every seed alike, but for those that are measured."""
    place = Place(tmp_path)
    folder = place.folder / "small"
    lines = (folder / "queries.jsonl").read_text().splitlines()
    more = {f"{topic}-more": text for topic, text in topics().items()}
    lines += [json.dumps({"_id": topic, "text": text}) for topic, text in more.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    judged = (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]
    (folder / "qrels" / "train.tsv").write_text(
        "\n".join([*judged, *(line.replace("\t", "-more\t", 1) for line in judged)])
    )
    change = {
        "rankers": {"learned": {"pipeline": "knn", "learns": ["metric"]}},
        "collections": {"small": {"teach": "train"}},
    }
    bench = place.run(change).collections["small"].bench
    assert lesson(bench, 0)[1].keys() == lesson(bench, 1)[1].keys() == more.keys()
    first, second = (bench.taught(Taught(seed, ("metric",))) for seed in (0, 1))
    assert first.path == second.path
    assert first.learned["metric"]["topics"] == 20
