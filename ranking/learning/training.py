"""The training loop: deterministic by seed, resumed from checkpoints, logged line by line, ended cleanly by Ctrl-C."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from index.errors import ConflictError, UnavailableError
from index.progress import Progress


class Learner(Protocol):
    """What is trained. `parameters` are leaves by name; `loss` draws the batch of one step from the generator that it
    is given, so a step is the same whenever it is made, and gives beside the loss the figures to log."""

    parameters: Mapping[str, Tensor]

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, dict[str, float]]: ...

    def rate(self, name: str) -> float:
        """The learning rate of a parameter at its highest."""
        ...


@dataclass(frozen=True)
class Schedule:
    """Steps of AdamW (Loshchilov and Hutter, ICLR 2019): a linear rise over `warmup` steps, then a cosine to zero."""

    steps: int = 1_000
    warmup: int = 50
    decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 100

    def rate(self, step: int) -> float:
        """The share of the highest rate, in [0, 1], at a step counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.5 * (1.0 + math.cos(math.pi * left))


def train(learner: Learner, schedule: Schedule, folder: Path, about: Mapping[str, Any], description: str) -> None:
    """Run all steps, or those that are left. `about` has to be what it was when the checkpoint was written.

    `folder` gets log.jsonl, one object a step, and checkpoint.pt, which stays until `forget` is called: a training that
    was completed is not run again. The first Ctrl-C ends the step, writes a checkpoint and raises KeyboardInterrupt. A
    step whose loss or gradient is not finite changes nothing and is logged as skipped. Raises ConflictError where the
    folder holds the checkpoint of another training, UnavailableError where too many steps are not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(learner.parameters)
    groups = [
        {"params": [learner.parameters[name]], "lr": learner.rate(name), "peak": learner.rate(name)} for name in names
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=schedule.decay, betas=(0.9, 0.99))
    wanted = json.loads(json.dumps({"schedule": asdict(schedule), **about}))
    first, skipped = _resume(folder, learner, optimizer, wanted)
    with (
        Progress(description, schedule.steps) as progress,
        (folder / "log.jsonl").open("a", encoding="utf-8") as log,
        _Interruption() as interruption,
    ):
        progress.advance(first)
        for step in range(first, schedule.steps):
            record = _step(learner, optimizer, schedule, step)
            skipped += record["skipped"]
            if skipped > 20 and skipped > step / 10:
                raise UnavailableError(
                    f"{skipped} of {step + 1} steps had no finite loss.", "Train with a smaller learning rate."
                )
            log.write(json.dumps({key: _short(value) for key, value in record.items()}) + "\n")
            log.flush()
            progress.advance(1)
            done = step + 1
            if done % schedule.checkpoint_every == 0 or done == schedule.steps or interruption.asked:
                _save(folder, learner, optimizer, done, skipped, wanted)
            if interruption.asked and done < schedule.steps:
                raise KeyboardInterrupt


def forget(folder: Path) -> None:
    """Delete the checkpoint: what was trained has been kept elsewhere."""
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def _step(learner: Learner, optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> dict[str, Any]:
    """One step, counted from 0. Gives what there is to log."""
    start = time.perf_counter()
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * schedule.rate(step)
    optimizer.zero_grad(set_to_none=True)
    loss, figures = learner.loss(np.random.default_rng([schedule.seed, step]), step / schedule.steps)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = float(torch.nn.utils.clip_grad_norm_(learner.parameters.values(), schedule.clip))
    value = float(loss.detach())
    usable = math.isfinite(norm) and math.isfinite(value)
    if usable:
        optimizer.step()
    seconds = time.perf_counter() - start
    return {
        "step": step,
        "loss": value,
        "norm": norm,
        "skipped": int(not usable),
        "seconds": seconds,
        **figures,
    }


class _Interruption:
    """Remembers a Ctrl-C until the step is over; a second one is not waited for. In other threads it does nothing."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> _Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *problem: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def _save(
    folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, step: int, skipped: int, about: object
) -> None:
    state = {
        "step": step,
        "skipped": skipped,
        "about": about,
        "parameters": {name: tensor.detach() for name, tensor in learner.parameters.items()},
        "optimizer": optimizer.state_dict(),
    }
    fresh = folder / ".checkpoint.new"
    torch.save(state, fresh)
    fresh.replace(folder / "checkpoint.pt")


def _resume(folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, about: object) -> tuple[int, int]:
    """Take up the checkpoint, if there is one. Gives the step to go on with, and how many were skipped before it; later
    lines of the log are cut off."""
    path, log = folder / "checkpoint.pt", folder / "log.jsonl"
    if not path.exists():
        log.unlink(missing_ok=True)
        return 0, 0
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch and pickle have a dozen for a file that is damaged or another's
        raise ConflictError(
            f"{path} is no checkpoint that can be read.", "Name another folder, or delete the checkpoint."
        ) from error
    if state["about"] != about:
        raise ConflictError(
            f"{folder} holds the checkpoint of another training.", "Name another folder, or delete the checkpoint."
        )
    with torch.no_grad():
        for name, tensor in learner.parameters.items():
            tensor.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    log.write_text("".join(line for line in lines[: state["step"]]), encoding="utf-8")
    return int(state["step"]), int(state["skipped"])


def _short(value: float) -> float:
    return float(f"{value:.6g}")
