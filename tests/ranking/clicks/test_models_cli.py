"""`clickwise clicks fit`, from a log on disk to a model that is read back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from index.errors import ConflictError
from ranking.clicks.cli import app
from ranking.clicks.log import ClickLog
from ranking.clicks.models.base import FitOptions
from ranking.clicks.models.fitting import Fitting
from ranking.clicks.models.registry import MODELS, Fitted
from ranking.clicks.pages import Event, Page
from ranking.clicks.sessions import Vocabulary


def log(path: Path, pages: int = 300, seed: int = 0) -> Path:
    """Pages of three documents in random order; d0 attracts most, and the first ranks are examined most."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(pages):
        order = rng.permutation(3).tolist()
        acts = [
            Event(f"d{document}", "click", rank=rank + 1)
            for rank, document in enumerate(order)
            if rng.random() < (0.8, 0.4, 0.1)[document] * (1.0, 0.6, 0.3)[rank]
        ]
        made.append(Page(f"p{seed}-{number}", f"q{number % 2}", [f"d{i}" for i in order], range(1, 4), acts))
    ClickLog.write(path, made)
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["fit", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_fit_is_measured_saved_and_read_back(tmp_path: Path) -> None:
    found = json.loads(run(log(tmp_path / "log"), "--model", "pbm", "--out", tmp_path / "model", "--json"))["models"][0]
    assert found["model"] == "pbm"
    assert found["pages"] == 30
    assert 1.0 < found["conditional_perplexity"] < 2.0
    assert len(found["perplexity_by_rank"]) == 3
    fitted = Fitted.load(tmp_path / "model")
    codes = [fitted.vocabulary.find("q0", f"d{number}") for number in range(3)]
    assert (np.diff(fitted.model.relevance(codes)) < 0).all()
    assert fitted.facts["prior"] == "exposure"


def test_all_models_stand_in_one_table(tmp_path: Path) -> None:
    lines = run(log(tmp_path / "log", 1000), "--model", "all", "--split", "spread", "--iterations", "10").splitlines()
    assert {line.split()[0] for line in lines[1:-1]} == set(MODELS)
    figures = [float(line.split()[3]) for line in lines[1:-1]]
    assert figures == sorted(figures)
    assert re.match(r"measured on what no model was fitted to \(pages 100, queries 1, clicks \d+\); best", lines[-1])
    assert lines[-1].endswith("best first, by conditional perplexity (less is better)")


def test_figures_that_rest_on_few_pages_say_so(tmp_path: Path) -> None:
    *_, seen, warned = run(log(tmp_path / "log", 990)).splitlines()
    assert "(pages 99, queries 2, clicks " in seen
    assert warned.startswith("on fewer than 100 pages such figures are chance")
    found = json.loads(run(log(tmp_path / "other", 990), "--json"))["models"][0]
    assert (found["pages"], found["queries"]) == (99, 2)
    assert found["clicks"] == float(seen.partition("clicks ")[2].partition(")")[0])


def test_a_log_too_short_to_hold_pages_back_has_no_figures(tmp_path: Path) -> None:
    row, last = run(log(tmp_path / "log", 4)).splitlines()[1:]
    assert row.split()[:4] == ["pbm", "-", "-", "-"]
    assert last == "measured on no page: the log is too short to hold any back"
    found = json.loads(run(tmp_path / "log", "--json"))["models"][0]
    assert (found["pages"], found["perplexity"], found["conditional_perplexity"]) == (0, None, None)


def test_a_fit_goes_on_with_another_log(tmp_path: Path) -> None:
    run(log(tmp_path / "one"), "--out", tmp_path / "model")
    before = Fitted.load(tmp_path / "model").facts["impressions"]
    run(log(tmp_path / "two", seed=1), "--continue", tmp_path / "model", "--out", tmp_path / "model")
    assert Fitted.load(tmp_path / "model").facts["impressions"] == 2 * before
    with pytest.raises(Exception, match="earlier fit is of the model"):
        run(log(tmp_path / "three", seed=2), "--model", "dbn", "--continue", tmp_path / "model")


def test_a_model_that_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    some, model = log(tmp_path / "log", 60), tmp_path / "model"
    run(some, "--out", model)
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    run(log(tmp_path / "more", 60, seed=1), "--continue", model, "--out", tmp_path / "next")
    for earlier in ((), ("--continue", tmp_path / "next")):
        with pytest.raises(ConflictError, match=r"There is a click model at .*--overwrite"):
            run(some, "--model", "pbm", *earlier, "--out", model)
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before
    run(some, "--model", "dbn", "--out", model, "--overwrite")
    assert Fitted.load(model).model.name == "dbn"


def test_a_log_of_its_own_is_measured_whole(tmp_path: Path) -> None:
    found = run(log(tmp_path / "log"), "--test", log(tmp_path / "test", 50, seed=1), "--json")
    assert json.loads(found)["models"][0]["pages"] == 50


def test_what_cannot_be_fitted_says_so(tmp_path: Path) -> None:
    some = log(tmp_path / "log", 20)
    (tmp_path / "file").touch()
    for arguments, message in (
        ((some, "--model", "pmb"), "no click model"),
        ((some, "--model", "all", "--out", tmp_path / "x"), "do not go into one folder"),
        ((some, "--out", some), "something else"),
        ((some, "--out", tmp_path / "file"), "file is a file"),
        ((some, "--out", tmp_path / "file" / "in"), "file is a file"),
        ((tmp_path / "nowhere",), "no click log"),
    ):
        with pytest.raises(Exception, match=message):
            run(*arguments)
    ClickLog.write(tmp_path / "empty", [])
    with pytest.raises(Exception, match="no pages to fit"):
        run(tmp_path / "empty")
    assert not (tmp_path / "x").exists()


def test_the_parts_of_a_log_are_disjoint_and_whole(tmp_path: Path) -> None:
    for split in ("order", "spread"):
        fitting = Fitting(ClickLog.open(log(tmp_path / split, 95)), split=split, batch=16)  # type: ignore[arg-type]
        vocabulary = Vocabulary()
        sizes = {part: sum(map(len, fitting.part(part, vocabulary))) for part in ("fit", "choose", "measure")}  # type: ignore[arg-type]
        assert sum(sizes.values()) == 95
        assert 8 <= sizes["choose"] <= 10
        assert 8 <= sizes["measure"] <= 10
        assert fitting.run("ubm", FitOptions(iterations=3)).foresight.pages == sizes["measure"]
