"""Learning the probe's prior: exact gradients, what was planted is found, and the index keeps what is confirmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from index.errors import InputError
from index.index import Index
from index.types import Query
from ranking.config import specs_with
from ranking.contract import Request
from ranking.feedback import Feedback
from ranking.learning.cheap_cli import app
from ranking.learning.engine import Engine
from ranking.learning.judged import Topic
from ranking.learning.judged_topics import Judgements
from ranking.learning.metric import MetricTraining
from ranking.learning.on_index import learn_metric, learn_prior
from ranking.learning.prior import PriorTraining, classifier, start_numbers, train_prior
from ranking.pipeline import Pipeline
from ranking.probe import Probe, fit_learned
from ranking.qrels import read_qrels
from ranking.vectors import Examples
from tests.fakes import HashingEncoder
from tests.index.test_prior import some_prior
from tests.ranking.learning.test_metric import call, planted, write_folder
from tests.ranking.learning.tiny import tiny_model

TRAINING = PriorTraining(epochs=1, rate=0.05, rank=3, negatives=20)
GIVEN = Feedback.judged(["sailing-02", "sailing-05"], ["coffee-01", "python-03"])


def some_feedback(seed: int = 0) -> tuple[Tensor, ...]:
    """A query, documents, relevance, weight and offset of a small problem, in float64."""
    random = torch.Generator().manual_seed(seed)
    query, rows = torch.randn(5, generator=random).double(), torch.randn(4, 5, generator=random).double()
    relevance = torch.tensor([1.0, 0.7, 0.0, 0.2], dtype=torch.float64)
    weight = torch.tensor([1.0, 0.5, 1.0, 2.0], dtype=torch.float64)
    return query, rows, relevance, weight, torch.zeros(4, dtype=torch.float64)


def test_gradients_through_the_exact_solution() -> None:
    """Of every number that is learned, against finite differences."""
    problem = some_feedback()
    start = {name: value.double().requires_grad_() for name, value in start_numbers(5, 2).items()}
    start["scale"] = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    start["noise"] = torch.tensor([-1.0, 0.5], dtype=torch.float64, requires_grad=True)
    names = list(start)

    def solved(*values: Tensor) -> tuple[Tensor, Tensor]:
        return classifier(dict(zip(names, values, strict=True)), *problem)

    assert torch.autograd.gradcheck(solved, tuple(start.values()), atol=1e-5)


def test_what_is_trained_is_what_serves() -> None:
    documents, topics = planted(noise=1.0)
    prior = train_prior(documents, topics, "", TRAINING).prior
    assert prior.factor.any()
    query, given, refused = topics[0].query, topics[0].relevant[:3], topics[0].refused[:2]
    rows = np.concatenate([given, refused])
    relevance, weight = np.array([1.0, 1.0, 0.6, 0.0, 0.1]), np.array([1.0, 0.5, 1.0, 1.0, 0.7])
    served = fit_learned(query, Examples(documents[rows], relevance, weight), prior, 1e-3)
    wrong = np.array(prior.noise)
    numbers = {
        "scale": np.log(prior.scale),
        "query_weight": np.log(prior.query_weight),
        "precision": np.log(prior.precision),
        "refused_weight": np.log(prior.refused_weight),
        "noise": np.log(2 * wrong / (1 - 2 * wrong)),
        "factor": prior.factor,
    }
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
    trained, bias = classifier(
        tensors,
        torch.from_numpy(query).double(),
        torch.from_numpy(documents[rows]).double(),
        torch.from_numpy(relevance),
        torch.from_numpy(weight),
        torch.zeros(5, dtype=torch.float64),
    )
    np.testing.assert_allclose(served.direction, trained.numpy(), rtol=1e-5, atol=1e-6)
    assert served.offset == pytest.approx(float(bias), rel=1e-5, abs=1e-6)


def test_without_a_factor_or_noise_it_is_the_probe(dense_index: Index) -> None:
    """The prior that training starts from, less its small factor, gives the ranker's own classifier."""
    from index.prior import Prior

    plain = Prior(np.zeros((6, 2), np.float32), 16.0, 1.0, 0.3, 1.0, (0.0, 0.0), "")
    random = np.random.default_rng(1)
    rows = random.normal(size=(5, 6)).astype(np.float32)
    examples = Examples(rows, np.array([1.0, 1.0, 0.0, 0.3, 0.0]), np.ones(5))
    query = random.normal(size=6).astype(np.float32)
    own, learned = Probe(space="learned").fit(query, examples), fit_learned(query, examples, plain, 1e-3)
    np.testing.assert_allclose(own.direction, learned.direction, atol=1e-8)


def test_beside_the_metric_s_part_of_the_space_it_is_the_same_to_all(dense_index: Index) -> None:
    """Vectors that co-relevance has extended: by nothing, nothing changes; by something, that counts in the product."""
    prior = some_prior(dimension=6)
    random = np.random.default_rng(2)
    examples = Examples(random.normal(size=(5, 6)).astype(np.float32), np.array([1.0, 1.0, 0.0, 0.3, 0.0]), np.ones(5))
    query = random.normal(size=6).astype(np.float32)
    plain = fit_learned(query, examples, prior, 1e-3)
    beside = np.zeros((5, 3), np.float32)
    wide = replace(examples, vectors=np.hstack([examples.vectors, beside]))
    same = fit_learned(np.pad(query, (0, 3)), wide, prior, 1e-3)
    np.testing.assert_allclose(same.direction, [*plain.direction, 0.0, 0.0, 0.0], atol=1e-8)
    beside[:2, 0] = 1.0  # what the relevant ones were relevant with
    extended = replace(examples, vectors=np.hstack([examples.vectors, beside]))
    assert fit_learned(np.pad(query, (0, 3)), extended, prior, 1e-3).direction[6] > 0.0


def test_it_finds_the_direction_along_which_relevance_varies() -> None:
    """Documents differ most in what does not matter; which directions do is the same for all topics."""
    documents, topics = planted(noise=1.0)
    training = PriorTraining(epochs=8, rate=0.05, rank=4, negatives=30, penalty=1e-4)
    found = train_prior(documents, topics, "", training)
    assert found.gain.confirmed
    assert found.gain.learned > found.gain.plain + 0.03


def test_the_same_seed_learns_the_same() -> None:
    documents, topics = planted(noise=1.0)
    first, second = (train_prior(documents, topics, "", TRAINING).prior for _ in range(2))
    assert first.digest == second.digest


def test_where_nothing_is_to_be_learned_it_is_not_confirmed() -> None:
    documents, topics = planted(noise=1.0)
    random = np.random.default_rng(3)
    guesses = [Topic(topic.query, *np.split(random.permutation(len(documents)), [10])) for topic in topics]
    assert not train_prior(documents, guesses, "", TRAINING).gain.confirmed


def test_too_few_topics() -> None:
    documents, topics = planted(noise=1.0)
    with pytest.raises(InputError, match="too few to learn a prior"):
        train_prior(documents, topics[:15], "")


def test_it_learns_on_what_a_cross_encoder_has_pooled() -> None:
    """Other frozen features: a row per (query, text) pair, with the model's own scores as what is added to."""
    engine = Engine(tiny_model(2))
    texts = [f"{'boat mast keel ' * (n % 3)}{'espresso beans ' * (n % 4)}{n}" for n in range(8)]
    pooled, scores, topics = [], [], []
    for number in range(24):
        _, pieces = engine.model.tokenizer.passages(f"boat {number}", texts, 1)
        states = engine.states([piece[0] for piece in pieces])
        pooled.append(torch.stack(states).numpy())
        scores.append(engine.logits(states))
        rows = np.arange(8) + 8 * number
        relevant = np.array([n % 3 == 2 or n == 0 for n in range(8)])
        topics.append(Topic(np.zeros(16, np.float32), rows[relevant], rows[~relevant]))
    training = PriorTraining(epochs=1, rank=2, negatives=4)
    found = train_prior(np.concatenate(pooled), topics, "tiny", training, offset=np.concatenate(scores))
    assert found.prior.factor.shape == (16, 2)
    assert 0.0 <= found.gain.plain <= found.gain.learned <= 1.0


def test_a_learned_prior_belongs_to_the_learned_space() -> None:
    with pytest.raises(InputError, match="learned space"):
        Probe(prior="learned")


def test_the_command_keeps_a_prior_that_the_probe_then_uses(
    tmp_path: Path, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    index = new_index()
    write_folder(tmp_path)
    files = ["--queries", str(tmp_path / "queries.jsonl"), "--qrels", str(tmp_path / "train.tsv")]
    given = ["prior", str(index.path), *files, "--folds", "2", "--epochs", "1", "--rank", "2"]
    stage = {"part": "probe", "space": "learned"}
    specs = specs_with({"own": {"stages": [stage]}, "learned": {"stages": [{**stage, "prior": "learned"}]}}, "the test")
    own, learned = (Pipeline(specs[name], index) for name in ("own", "learned"))
    request = Request(Query("q", "boat"), GIVEN)
    plain, version = own.rank([request]), learned.version
    assert learned.rank([request]) == plain

    outcome = call([*given, "--force"])
    assert outcome["kept"]
    assert (outcome["topics"], outcome["folds"]) == (28, 2)
    assert learned.version != version
    assert not np.array_equal(learned.rank([request])[0].scores, plain[0].scores)
    assert own.rank([request]) == plain

    assert CliRunner().invoke(app, ["prior", str(index.path), "--forget"]).exit_code == 0
    assert learned.rank([request]) == plain
    assert learned.version == version


def test_what_goes_with_the_metric_is_said(
    tmp_path: Path, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    path = str(new_index().path)
    write_folder(tmp_path)
    files = ["--queries", str(tmp_path / "queries.jsonl"), "--qrels", str(tmp_path / "train.tsv")]
    prior, metric = ([what, path, *files, "--folds", "2", "--epochs", "1", "--force"] for what in ("prior", "metric"))
    assert call(metric)["dropped"] == []
    call(prior)
    told = CliRunner().invoke(app, metric).stdout
    assert "the prior, learned on the metric before, went: train it again" in told
    call(prior)
    assert call(metric)["dropped"] == ["prior"]
    call(prior)
    assert call(["metric", path, "--forget"])["forgotten"] == ["prior", "metric"]
    told = CliRunner().invoke(app, ["metric", path, "--forget"]).stderr
    assert told.endswith(" had learned no metric.\n")


@pytest.mark.parametrize("what", ["metric", "co-relevance", "prior"])
@pytest.mark.parametrize("given", [["--queries", "queries.jsonl"], ["--force"], ["--folds", "10"]])
def test_who_forgets_does_not_learn(what: str, given: list[str], new_index: Callable[..., Index]) -> None:
    """No option is passed over in silence, not even one at its default."""
    problem = CliRunner().invoke(app, [what, str(new_index().path), "--forget", *given]).exception
    assert isinstance(problem, InputError)
    assert f"{given[0]} was given beside it" in str(problem)


def test_it_learns_from_clicks_too(
    tmp_path: Path, new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What clicks make likely counts as judged, and what nobody was shown as unknown; a log and judgements at once are
    too much."""
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    index = new_index()
    write_folder(tmp_path)
    qrels = read_qrels(tmp_path / "train.tsv")
    rows = [
        {"query": query, "document": doc, "relevance": 0.9 if grade else 0.2}
        for query, judged in qrels.items()
        for doc, grade in judged.items()
    ]
    clicks = tmp_path / "clicks.jsonl"
    clicks.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    options = [str(index.path), "--folds", "2", "--epochs", "1"]
    judged = ["--queries", str(tmp_path / "queries.jsonl"), "--qrels", str(tmp_path / "train.tsv")]
    likely = {query: {doc: int(grade > 0) for doc, grade in found.items()} for query, found in qrels.items()}
    judgements = Judgements({query: query for query in qrels}, likely, complete=False)
    found = call(["metric", *options, "--clicks", str(clicks)])
    assert found == learn_metric(index, judgements, MetricTraining(epochs=1, folds=2))
    found = call(["prior", *options, "--clicks", str(clicks)])
    assert found == learn_prior(index, judgements, PriorTraining(epochs=1, folds=2))
    result = CliRunner().invoke(app, ["prior", *options, *judged, "--clicks", str(clicks)])
    assert isinstance(result.exception, InputError)
