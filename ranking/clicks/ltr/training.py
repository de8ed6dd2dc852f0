"""Training a scorer by an objective: the same seed gives the same model, and an interrupted run goes on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from index.errors import InputError
from ranking.clicks.ltr.checkpoints import Epoch, Journal, State
from ranking.clicks.ltr.measures import Evidence
from ranking.clicks.ltr.objectives.protocol import Objective
from ranking.clicks.ltr.pages import batches, distinct
from ranking.clicks.ltr.scorers import Scorer
from ranking.clicks.sessions import Floats, Sessions


@dataclass(frozen=True)
class Options:
    """How to train.

    `batch` is a number of pages. Training ends after `epochs`, or once `patience` of them have not made the held-out
    clicks better. `bias_rate` is the learning rate of the objective's own parameters, `decay` the weight decay of the
    scorer's.
    """

    epochs: int = 60
    batch: int = 2048
    rate: float = 0.003
    bias_rate: float = 0.03
    decay: float = 0.01
    patience: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """What a training came to; the scorer and the objective have the state of the best epoch, or of the last one where
    nothing was held out."""

    best: Epoch
    epochs: int
    stopped: str  # "patience" or "epochs"


def train(
    scorer: Scorer,
    objective: Objective,
    pages: Sessions,
    held_out: Sessions,
    options: Options,
    *,
    weight: Floats | None = None,
    home: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Make the objective small on `pages`; keep the epoch that ranks the clicks of `held_out` best.

    Held-out clicks are corrected by the bias that the objective believes in. Where it learns that bias, an epoch and
    the best one so far are compared under what it believes by then. Without held-out pages the last epoch is kept: what
    is held out were clicks of the same policy, so stopping by them favours a ranker that copies it, unless the bias is
    known. `weight` (n, r) weighs the impressions.

    With a folder `home`, each epoch is a line of `train.jsonl` there and its state is kept: the same call goes on after
    the last epoch that was completed. Raises InputError where the pages have no click, or a loss is not finite;
    ConflictError where `home` belongs to another training.
    """
    if not pages.clicks.any():
        raise InputError("The pages for training have no click.", "Give a log with clicks.")
    optimiser = torch.optim.AdamW(
        [
            {"params": list(scorer.parameters()), "lr": options.rate, "weight_decay": options.decay},
            {"params": list(objective.parameters()), "lr": options.bias_rate, "weight_decay": 0.0},
        ]
    )
    journal = None if home is None else Journal(home, _identity(objective, pages, held_out, options))
    state = State(scorer, objective, optimiser, Epoch(0, math.inf, 0.0), _copied(scorer, objective), {})
    last = journal.resume(state) if journal else 0
    for epoch in range(last + 1, options.epochs + 1):
        if last - state.best.epoch >= options.patience:
            break
        loss = _pass(state, pages, weight, options, epoch)
        found, believed = _evidence(scorer, held_out), objective.believed()
        done, last = Epoch(epoch, loss, found.value(believed)), epoch
        if not len(held_out) or not state.evidence or done.held_out > _evidence_of(state).value(believed):
            state.best, state.kept = done, _copied(scorer, objective)
            state.evidence = {name: torch.from_numpy(values) for name, values in vars(found).items()}
        if journal:
            journal.keep(state, done)
        if on_epoch:
            on_epoch(done)
    scorer.load_state_dict(state.kept["scorer"])
    objective.load_state_dict(state.kept["objective"])
    scorer.train(False)
    objective.train(False)
    return Trained(state.best, last, "epochs" if last == options.epochs else "patience")


def score_rows(scorer: Scorer, rows: int, size: int = 65_536) -> Floats:
    """The scores of rows 0 to `rows` - 1."""
    scorer.train(False)
    with torch.inference_mode():
        parts = [scorer(torch.arange(start, min(start + size, rows))) for start in range(0, rows, size)]
    scores: Floats = torch.cat(parts).double().numpy() if parts else np.zeros(0)
    return scores


def _pass(state: State, pages: Sessions, weight: Floats | None, options: Options, epoch: int) -> float:
    """One epoch; the mean loss. Its randomness depends on the seed and the epoch only, which makes resuming exact."""
    random = np.random.default_rng([options.seed, epoch])
    state.scorer.train(True)
    state.objective.train(True)
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(2**62)))
        for batch in batches(pages, weight, options.batch, random):
            loss = state.objective(batch.spread(state.scorer(batch.rows)), batch)
            state.optimiser.zero_grad()
            loss.backward()
            state.optimiser.step()
            total += float(loss.detach()) * len(batch)
    if not math.isfinite(total):
        raise InputError("The loss is not finite.", "Train with a lower --rate, or clip propensities more.")
    return total / len(pages)


def _identity(objective: Objective, pages: Sessions, held_out: Sessions, options: Options) -> dict[str, Any]:
    """What makes a training this one; it may be given more epochs, or more patience, and go on."""
    content = crc32(b"".join(part.tobytes() for p in (pages, held_out) for part in (p.pair, p.clicks, p.weight)))
    same = {name: value for name, value in asdict(options).items() if name not in ("epochs", "patience")}
    return same | {"objective": type(objective).__name__, "pages": content}


def _evidence(scorer: Scorer, pages: Sessions) -> Evidence:
    """What held-out pages say about the scorer; only the rows that they show are scored."""
    scorer.train(False)
    rows, place = distinct(pages.pair)
    with torch.inference_mode():
        scores = scorer(torch.from_numpy(rows)).double().numpy()
    return Evidence.of(replace(pages, pair=np.where(pages.shown, place, -1).astype(np.int32)), scores)


def _evidence_of(state: State) -> Evidence:
    return Evidence(**{name: values.numpy() for name, values in state.evidence.items()})


def _copied(scorer: Scorer, objective: Objective) -> dict[str, Any]:
    return copy.deepcopy({"scorer": scorer.state_dict(), "objective": objective.state_dict()})
