"""`clickwise clicks ltr`: from files to a ranker on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from index.errors import ClickwiseError, InputError
from ranking.clicks.log import ClickLog
from ranking.clicks.ltr.model import Model
from ranking.clicks.ltr.simulation import position_bias
from ranking.clicks.ltr.svmrank import write_svmrank
from ranking.clicks.ltr_cli import ltr
from ranking.clicks.pages import Event, Page
from ranking.clicks.propensity import Curve, Propensities
from ranking.clicks.sessions import Sessions
from tests.ranking.clicks.ltr.made import clicked, judged

Call = Callable[..., Any]
QUICK = ("--scorer", "linear", "--epochs", "3", "--rate", "0.03", "--batch", "500")


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Run the command on the features; the parsed report, or what it raised."""
    data = judged()
    write_svmrank(tmp_path / "train.txt", data)
    app = typer.Typer()
    app.command()(ltr)

    def run(*arguments: object) -> Any:
        result = CliRunner().invoke(app, ["--train", str(tmp_path / "train.txt"), *QUICK, *map(str, arguments)])
        if isinstance(result.exception, ClickwiseError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return json.loads(result.output) if "--json" in arguments else result.output

    return run


def write_log(path: Path, *parts: tuple[str, Sessions]) -> Path:
    """Pages of arms as a click log."""
    data = judged()
    rows = []
    for arm, sessions in parts:
        for number, (pair, clicks, query) in enumerate(
            zip(sessions.pair, sessions.clicks, sessions.query, strict=True)
        ):
            documents = [data.features.documents[row] for row in pair]
            rows.append(
                Page(
                    query_id=f"{arm}-{number}",
                    query=data.features.queries[query],
                    documents=tuple(documents),
                    arm=arm or None,
                    events=[Event(documents[slot], "click") for slot in np.flatnonzero(clicks)],
                )
            )
    ClickLog.write(path, rows)
    return path


def test_auto_from_a_log(call: Call, tmp_path: Path) -> None:
    data = judged()
    log = write_log(
        tmp_path / "log",
        ("", clicked(data, position_bias(6), 600)),
        ("mixed", clicked(data, position_bias(6), 400, seed=5, shuffled=True)),
    )
    out = tmp_path / "out"
    report = call("--log", log, "--randomised", "mixed", "--test", tmp_path / "train.txt", "--out", out, "--json")
    assert report["log"] == {"pages": 1000, "unknown_pages": 0, "unknown_documents": 0, "shuffled_pages": 400}
    assert set(report["models"]) == {"naive-listwise", "dla"}
    assert all(0.6 < model["ndcg@10"] <= 1 for model in report["models"].values())
    assert report["verdict"]["pages"] == 400
    assert report["objective"] == ("dla" if report["verdict"]["switch"] else "naive-listwise")
    model = Model.load(out)
    assert model.about["objective"] == report["objective"]
    np.testing.assert_array_equal(
        model.predict(data.features.matrix), Model.load(out / report["objective"]).predict(data.features.matrix)
    )
    assert len((out / "dla" / "train.jsonl").read_text().splitlines()) == 3
    text = call("--log", log, "--out", out / "again")
    assert "the naive ranker stays" in text
    assert "Chosen: naive-listwise" in text


def test_one_objective_with_given_propensities(call: Call, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", ("", clicked(judged(), position_bias(6), 500)))
    curve = tuple(position_bias(6).alpha[0].tolist())
    Propensities("harvest", (Curve("", curve, (None,) * 6, (None,) * 6),)).save(tmp_path / "p.json")
    given = ("--log", log, "--objective", "ipw-listwise", "--propensities", tmp_path / "p.json", "--json")
    report = call(*given)
    np.testing.assert_allclose(report["models"]["ipw-listwise"]["bias"]["alpha"], [curve], atol=1e-6)
    estimated = call("--log", log, "--objective", "ipw-listwise", "--json")
    assert estimated["models"]["ipw-listwise"]["bias"]["alpha"] != report["models"]["ipw-listwise"]["bias"]["alpha"]


def test_simulated_clicks(call: Call) -> None:
    text = call("--simulate", "trust", "--sessions", 500)
    assert "500 pages, 500 shuffled" in text
    assert "On shuffled pages: naive" in text


def test_what_is_asked_for_wrongly_is_said(call: Call, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", ("a", clicked(judged(), position_bias(6), 50)))
    for arguments, message in (
        ((), "--log or from --simulate"),
        (("--log", log, "--simulate", "pbm"), "--log or from --simulate"),
        (("--log", log, "--objective", "best"), "no objective 'best'"),
        (("--log", log, "--randomised", "b"), "no arm 'b'"),
        (("--log", log, "--randomised", "a"), "All pages"),
        (("--log", log, "--hidden", "big"), "names no sizes"),
    ):
        with pytest.raises(InputError, match=message):
            call(*arguments)


def test_an_interruption_ends_with_130_and_can_go_on(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from index.progress import Progress

    log = write_log(tmp_path / "log", ("", clicked(judged(), position_bias(6), 300)))
    arguments = ("--log", log, "--objective", "dla", "--out", tmp_path / "out", "--json")

    def stop(self: Progress, steps: int = 1) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", stop)
        with pytest.raises(AssertionError, match="goes on after the last epoch"):
            call(*arguments)
    assert len((tmp_path / "out" / "dla" / "train.jsonl").read_text().splitlines()) == 1
    resumed = call(*arguments)
    whole = call(*arguments[:-3], "--out", tmp_path / "whole", "--json")
    assert resumed["models"] == whole["models"]
