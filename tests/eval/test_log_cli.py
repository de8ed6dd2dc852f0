"""`clickwise eval log` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from eval.log import SupportError
from eval.log.cli import log
from index.errors import InputError
from tests.eval.test_log_reading import as_csv, as_parquet

app = typer.Typer()
app.command("log")(log)

ACTIONS = ("a", "b", "c")
LOGGING = (0.5, 0.3, 0.2)
RATE = (0.1, 0.4, 0.7)
NEW = (0.1, 0.2, 0.7)


def rows(count: int, seed: int, chances: tuple[float, ...]) -> dict[str, list[Any]]:
    random = np.random.default_rng(seed)
    action = random.choice(3, size=count, p=chances)
    return {
        "document": [ACTIONS[a] for a in action],
        "position": random.integers(1, 3, size=count).tolist(),
        "click": [int(random.random() < RATE[a]) for a in action],
        "propensity": [chances[a] for a in action],
        "new": [NEW[a] for a in action],
        "query": random.choice(["q", "r"], size=count).tolist(),
    }


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return as_parquet(tmp_path / "old.parquet", rows(3000, 1, LOGGING))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return as_csv(tmp_path / "new.csv", {"document": ACTIONS, "probability": NEW})  # type: ignore[dict-item]


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def answer(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(*arguments, "--resamples", 100, "--json"))
    return found


def test_the_value_of_a_table(old: Path, new: Path) -> None:
    found = answer(old, "--target", new)
    value = sum(share * rate for share, rate in zip(NEW, RATE, strict=True))
    assert list(found["estimates"]) == ["ips", "clipped_ips", "snips", "dm", "dr", "clipped_dr", "sndr"]
    for estimate in found["estimates"].values():
        assert estimate["low"] < value < estimate["high"]
    assert found["rows"] == found["pages"] == 3000
    assert found["support"] == {"missing": 0.0, "unseen": 0.0, "actions": {}}
    assert found["weights"]["maximum"] == pytest.approx(3.5)
    assert found["weights"]["clip"] == 10
    assert "truth" not in found


def test_the_text_says_the_same(old: Path, new: Path) -> None:
    text = call(old, "--target", new, "--resamples", 20, "--clip", 2)
    assert "3,000 rows on 3,000 pages" in text
    assert "support    complete" in text
    assert "clipping   at 2: " in text
    for name in ("ips", "clipped_ips", "snips", "dm", "dr", "clipped_dr", "sndr"):
        assert f"\n{name} " in text


def test_a_column_of_the_log(old: Path, new: Path) -> None:
    found = answer(old, "--target", "column:new")
    assert found["support"] is None
    table = answer(old, "--target", new)["estimates"]
    assert found["estimates"] == {name: table[name] for name in ("ips", "clipped_ips", "snips")}
    assert "support    not known" in call(old, "--target", "column:new", "--resamples", 5)


def test_another_log_is_target_and_truth(old: Path, tmp_path: Path) -> None:
    own = as_csv(tmp_path / "own.csv", rows(3000, 2, NEW))
    found = answer(old, "--target", f"log:{own}", "--context", "query")
    assert found["truth"]["rows"] == 3000
    for error in found["truth"]["relative_error"].values():
        assert error["low"] < 0 < error["high"]
    text = call(old, "--target", f"log:{own}", "--resamples", 20)
    assert "truth" in text
    assert "relative error" in text


def test_uniform_against_a_truth(old: Path, tmp_path: Path) -> None:
    own = as_csv(tmp_path / "own.csv", rows(3000, 3, (1 / 3, 1 / 3, 1 / 3)))
    found = answer(old, "--target", "uniform", "--truth", own)
    assert abs(found["truth"]["relative_error"]["dr"]["value"]) < 0.2


def test_thompson_sampling(old: Path, tmp_path: Path) -> None:
    beliefs = as_csv(tmp_path / "beliefs.csv", {"action": list(ACTIONS), "alpha": [1, 4, 7], "beta": [9, 6, 3]})
    found = answer(old, "--target", f"thompson:{beliefs}")
    assert found["target"] == "Thompson sampling"
    assert found["estimates"]["dr"]["value"] > found["logging"]["value"]


def test_thompson_sampling_needs_numbered_positions(tmp_path: Path) -> None:
    columns = rows(50, 4, LOGGING) | {"position": ["left"] * 50}
    beliefs = as_csv(tmp_path / "beliefs.csv", {"action": list(ACTIONS), "alpha": [1, 4, 7], "beta": [9, 6, 3]})
    with pytest.raises(InputError, match="positions left are no numbers"):
        call(as_csv(tmp_path / "log.csv", columns), "--target", f"thompson:{beliefs}")


def test_columns_by_other_names(tmp_path: Path, new: Path) -> None:
    columns = rows(500, 5, LOGGING)
    renamed = {"sku": columns["document"], "bought": columns["click"], "p": columns["propensity"]}
    path = as_csv(tmp_path / "log.csv", renamed | {"visit": np.repeat(np.arange(250), 2).tolist()})
    mapping = [
        part for pair in ("action=sku", "reward=bought", "propensity=p", "page=visit") for part in ("--column", pair)
    ]
    assert answer(path, "--target", new, *mapping)["pages"] == 250


def test_a_policy_by_query(old: Path, tmp_path: Path) -> None:
    path = as_csv(
        tmp_path / "run.csv",
        {"query": ["q", "q", "r", "r"], "position": [1, 2, 1, 2], "document": ["c", "b", "b", "c"]},
    )
    found = answer(old, "--target", path)
    assert found["estimates"]["dr"]["value"] == pytest.approx((0.7 + 0.4) / 2, abs=0.08)


def test_the_rankings_of_a_run(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "bm25.run"
    path.write_text("q Q0 c 1 3.0 x\nq Q0 b 2 2.0 x\nq Q0 a 3 1.0 x\nr Q0 b 1 3.0 x\nr Q0 c 2 2.0 x\n")
    found = answer(old, "--target", f"run:{path}", "--context", "query")
    assert found["target"] == str(path)
    assert found["estimates"]["dr"]["value"] == pytest.approx((0.7 + 0.4) / 2, abs=0.08)
    with pytest.raises(InputError, match="needs the queries of the log"):
        call(old, "--target", f"run:{path}")
    path.write_text("q Q0 c 1 3.0 x\nq Q0 b 2 2.0 x\nr Q0 b 1 3.0 x\n")
    with pytest.raises(InputError, match=r"says nothing about .* position 2"):
        call(old, "--target", f"run:{path}", "--context", "query")


def test_what_the_log_never_shows_is_refused(old: Path, tmp_path: Path) -> None:
    path = as_csv(tmp_path / "policy.csv", {"document": ["a", "z"], "probability": [0.9, 0.1]})
    with pytest.raises(SupportError, match=r"10\.00% of the probability .* z \(10\.00%\)"):
        call(old, "--target", path)
    text = call(old, "--target", path, "--max-missing", 0.1, "--resamples", 20)
    assert "support    10.00% missing, 10.00% unseen" in text
    assert "warning: 10.00%" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "column:"], "names nothing"),
        (["--target", "uniform", "--column", "clicks=x"], "gives no role its column"),
        (["--target", "uniform", "--column", "reward"], "gives no role its column"),
        (["--target", "column:none"], "has no column none"),
        (["--target", "uniform", "--context", "none"], "has no column none"),
        (["--target", "nowhere.csv"], "no file nowhere.csv"),
        (["--target", "uniform", "--clip", "0"], "A clip of 0.0 has no sense"),
        (["--target", "uniform", "--smoothing", "1", "--truth", "nowhere.csv"], "no file nowhere.csv"),
    ],
)
def test_a_command_line_without_sense_is_one_clear_error(arguments: list[str], said: str, old: Path) -> None:
    with pytest.raises(Exception, match=said) as refusal:
        call(old, *arguments)
    assert type(refusal.value).__module__.startswith(("index.errors", "eval.log"))
