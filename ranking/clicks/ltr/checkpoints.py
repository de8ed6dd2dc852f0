"""The state of a training on disk: one safetensors file, replaced after each epoch, and a line of JSON per epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from index.errors import ConflictError
from ranking.clicks.durable import write_durably
from ranking.clicks.ltr.objectives.protocol import Objective
from ranking.clicks.ltr.scorers import Scorer

_ADVICE = "Remove the folder, or choose another one."


@dataclass(frozen=True)
class Epoch:
    """One pass over the pages: the mean loss of a page, and how well the held-out clicks are ranked."""

    epoch: int
    loss: float
    held_out: float


@dataclass
class State:
    """All that a training changes.

    `kept` are the states of scorer and objective after the best epoch so far, `evidence` what the held-out clicks say
    about it.
    """

    scorer: Scorer
    objective: Objective
    optimiser: torch.optim.Optimizer
    best: Epoch
    kept: dict[str, dict[str, Tensor]]
    evidence: dict[str, Tensor]


class Journal:
    """A folder with `train.jsonl` and `state.safetensors`.

    `identity` is what has to be the same for a training to go on: other options, pages or objectives raise
    ConflictError. The number of epochs may grow.
    """

    def __init__(self, home: Path, identity: Mapping[str, Any]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.identity = home, json.dumps(dict(identity), sort_keys=True)
        self.log, self.file = home / "train.jsonl", home / "state.safetensors"

    def resume(self, state: State) -> int:
        """Put back what was kept, and say after which epoch; 0 where there is nothing."""
        try:
            content = self.file.read_bytes()
        except FileNotFoundError:
            self.log.write_text("", encoding="utf-8")
            return 0
        try:
            tensors = load(content)
            about = _metadata(content)
            last, best = int(about["last"]), Epoch(**json.loads(about["best"]))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise ConflictError(f"The state of training in {self.home} is damaged.", _ADVICE) from error
        if about["identity"] != self.identity:
            raise ConflictError(f"The folder {self.home} belongs to a training with other options.", _ADVICE)
        state.scorer.load_state_dict(_part(tensors, "scorer"))
        state.objective.load_state_dict(_part(tensors, "objective"))
        state.best, state.kept = best, {name: _part(tensors, f"best.{name}") for name in ("scorer", "objective")}
        state.evidence = _part(tensors, "evidence")
        _load_optimiser(state.optimiser, _part(tensors, "optimiser"))
        self._cut(last)
        return last

    def keep(self, state: State, done: Epoch) -> None:
        """Write the state after an epoch atomically and durably, then the epoch's line."""
        groups = {
            "scorer": state.scorer.state_dict(),
            "objective": state.objective.state_dict(),
            "optimiser": _optimiser_tensors(state.optimiser),
            "best.scorer": state.kept["scorer"],
            "best.objective": state.kept["objective"],
            "evidence": state.evidence,
        }
        tensors = {
            f"{group}.{name}": value.detach().clone().contiguous()
            for group, part in groups.items()
            for name, value in part.items()
        }
        about = {"identity": self.identity, "last": str(done.epoch), "best": json.dumps(asdict(state.best))}
        write_durably(self.file, save(tensors, metadata=about))
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(done)) + "\n")

    def _cut(self, last: int) -> None:
        """Lines after the last epoch kept are of epochs that will be done again."""
        try:
            lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        self.log.write_text("".join(lines[:last]), encoding="utf-8")


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def _part(tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    start = group + "."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts as NUMBER.NAME; its options come with the call."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value) for number, part in state.items() for name, value in part.items()
    }


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
