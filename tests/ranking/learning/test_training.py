from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from index.errors import ConflictError, UnavailableError
from ranking.learning.training import Schedule, forget, train


class Line:
    """Fits a line to noisy points. `on_step` is called with the number of the call."""

    def __init__(self, on_step: Callable[[int], None] = lambda call: None) -> None:
        self.parameters: Mapping[str, Tensor] = {
            "slope": torch.zeros(3, requires_grad=True),
            "level": torch.zeros(1, requires_grad=True),
        }
        self.on_step, self.calls = on_step, 0

    def rate(self, name: str) -> float:
        return 0.1 if name == "slope" else 0.02

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        self.on_step(self.calls)
        self.calls += 1
        x = torch.tensor(random.normal(size=(8, 3)), dtype=torch.float32)
        wanted = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.3
        error = (x @ self.parameters["slope"] + self.parameters["level"] - wanted).square().mean()
        return error, {"progress": progress}

    @property
    def numbers(self) -> list[float]:
        return [number for tensor in self.parameters.values() for number in tensor.tolist()]


SCHEDULE = Schedule(steps=40, warmup=4, checkpoint_every=10)


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_it_learns_and_logs_every_step(tmp_path: Path) -> None:
    line = Line()
    train(line, Schedule(steps=200, warmup=5), tmp_path, {}, "Training")
    np.testing.assert_allclose(line.numbers, [1.0, -2.0, 0.5, 0.3], atol=0.1)
    log = log_of(tmp_path)
    assert [entry["step"] for entry in log] == list(range(200))
    assert set(log[0]) == {"step", "loss", "norm", "skipped", "seconds", "progress"}


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        line = Line()
        train(line, Schedule(steps=12, seed=seed), tmp_path / name, {}, "Training")
        found.append(line.numbers)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("stopped", [13, 20, 39])
def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, stopped: int) -> None:
    def die(call: int) -> None:
        if call == stopped:
            raise OSError("killed")

    whole = Line()
    train(whole, SCHEDULE, tmp_path / "whole", {"data": "x"}, "Training")
    with pytest.raises(OSError, match="killed"):
        train(Line(die), SCHEDULE, tmp_path / "parts", {"data": "x"}, "Training")
    again = Line()
    train(again, SCHEDULE, tmp_path / "parts", {"data": "x"}, "Training")
    assert again.calls == 40 - stopped // 10 * 10
    assert again.numbers == whole.numbers
    kept = ("step", "loss", "norm")
    logs = [[[entry[name] for name in kept] for entry in log_of(tmp_path / folder)] for folder in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_an_interruption_ends_the_step_and_keeps_it(tmp_path: Path) -> None:
    def interrupt(call: int) -> None:
        if call == 6:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    line = Line(interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(line, SCHEDULE, tmp_path, {}, "Training")
    assert signal.getsignal(signal.SIGINT) is before
    assert line.calls == 7
    again, whole = Line(), Line()
    train(again, SCHEDULE, tmp_path, {}, "Training")
    train(whole, SCHEDULE, tmp_path / "whole", {}, "Training")
    assert again.calls == 33
    assert again.numbers == whole.numbers


def test_what_is_complete_is_not_run_again_until_it_is_forgotten(tmp_path: Path) -> None:
    train(Line(), SCHEDULE, tmp_path, {}, "Training")
    again = Line()
    train(again, SCHEDULE, tmp_path, {}, "Training")
    assert again.calls == 0
    assert any(again.numbers)
    forget(tmp_path)
    train(again, SCHEDULE, tmp_path, {}, "Training")
    assert again.calls == 40
    assert len(log_of(tmp_path)) == 40


def test_another_trainings_checkpoint_is_left_alone(tmp_path: Path) -> None:
    train(Line(), SCHEDULE, tmp_path, {"data": "x"}, "Training")
    for schedule, about in ((SCHEDULE, {"data": "y"}), (Schedule(steps=41), {"data": "x"})):
        with pytest.raises(ConflictError, match="checkpoint of another training"):
            train(Line(), schedule, tmp_path, about, "Training")
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(ConflictError, match="no checkpoint that can be read"):
        train(Line(), SCHEDULE, tmp_path, {"data": "x"}, "Training")


class Broken(Line):
    """Its loss is not finite in the steps of `bad`."""

    def __init__(self, bad: range) -> None:
        super().__init__()
        self.bad = bad

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        loss, figures = super().loss(random, progress)
        return loss * (torch.nan if self.calls - 1 in self.bad else 1.0), figures


def test_a_step_without_a_finite_loss_changes_nothing(tmp_path: Path) -> None:
    line = Broken(range(3, 5))
    train(line, SCHEDULE, tmp_path, {}, "Training")
    assert np.isfinite(line.numbers).all()
    assert [entry["step"] for entry in log_of(tmp_path) if entry["skipped"]] == [3, 4]


def test_too_many_of_them_end_the_training(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="had no finite loss"):
        train(Broken(range(100)), SCHEDULE, tmp_path, {}, "Training")


def test_the_learning_rate_rises_and_falls() -> None:
    schedule = Schedule(steps=100, warmup=10)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
