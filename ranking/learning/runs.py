"""One training from task files to a folder: delta.safetensors, log.jsonl and card.md."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from index.encoder import Precision, locate
from index.encoder_bert import native_bf16
from index.errors import ConflictError, InputError, UnavailableError
from ranking.learning.batches import PairTokenizer
from ranking.learning.bert import Bert, Parameters
from ranking.learning.card import card
from ranking.learning.cross_encoder import load_base
from ranking.learning.delta import Delta
from ranking.learning.supervised import Recipe
from ranking.learning.tasks import Task, read_tasks
from ranking.learning.training import Learner, Schedule, forget, train

DELTA = "delta.safetensors"
_MARGIN = 16  # tokens: a pair is never shorter, whatever is asked


class DeltaLearner(Learner, Protocol):
    """A learner of a delta of a cross-encoder. `about` is what a user of the delta has to know of it."""

    @property
    def delta(self) -> Delta: ...

    @property
    def about(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Run:
    """How a training runs, whatever is trained.

    `tokens` is how much of a query with its text is read, `threads` how many cores compute (0: all). `notes` go into
    the model card: where the data come from, and their licences.
    """

    tasks: tuple[Path, ...]
    out: Path
    steps: int = 1_000
    seed: int = 0
    tokens: int = 128
    threads: int = 0
    device: str = "cpu"
    precision: Precision = "auto"
    checkpoint_every: int = 100
    overwrite: bool = False
    command: str = ""
    notes: tuple[str, ...] = ()


Maker = Callable[[Bert, Parameters, PairTokenizer, Sequence[Task]], DeltaLearner]


def run(how: Run, method: str, recipe: Recipe, make: Maker) -> Path:
    """Train, or go on with a training that was interrupted, and write the folder. Gives the path of the delta.

    Raises ConflictError where the folder holds a trained model (unless it may be overwritten) or the checkpoint of
    another training, NotFoundError and InputError for tasks or options that are not usable, UnavailableError where the
    device is not there.
    """
    trained = how.out / DELTA
    if trained.exists() and not how.overwrite and not (how.out / "checkpoint.pt").exists():
        raise ConflictError(f"{how.out} holds a trained model.", "Name another folder, or use --overwrite.")
    tasks = read_tasks(how.tasks)
    ready = prepared(how)
    learner = make(ready.bert, ready.base, ready.tokenizer, tasks)
    about = {
        "method": method,
        "recipe": asdict(recipe),
        "base": ready.checksum,
        "data": {path.name: _checksum(path) for path in how.tasks},
        "tokens": how.tokens,
        "computed_in": ready.computed_in,
    }
    schedule = Schedule(
        steps=how.steps, warmup=min(50, how.steps // 10), seed=how.seed, checkpoint_every=how.checkpoint_every
    )
    train(learner, schedule, how.out, about, "Training")
    about |= {"steps": how.steps, "seed": how.seed, "command": how.command, **learner.about}
    keep(Delta({name: tensor.cpu() for name, tensor in learner.delta.tensors.items()}, about), trained)
    sources = Counter(task.source or "not named" for task in tasks)
    text = card(about, sources, _checksum(trained), trained.stat().st_size, how.notes)
    (how.out / "card.md").write_text(text, encoding="utf-8")
    forget(how.out)
    return trained


@dataclass(frozen=True, eq=False)
class Ready:
    """The base model on its device, what reads texts for it, and the SHA-256 of its weights."""

    bert: Bert
    base: Parameters
    tokenizer: PairTokenizer
    checksum: str
    computed_in: str


def prepared(how: Run) -> Ready:
    """Set threads and seed, and load the packaged model. Raises as `run` does."""
    device = _device(how.device)
    if how.threads:
        torch.set_num_threads(how.threads)
    torch.manual_seed(how.seed)
    dtype = _dtype(how.precision, device)
    directory, _ = locate("default")
    bert, base, checksum = load_base(directory, dtype)
    if not _MARGIN <= how.tokens <= bert.frame.max_tokens:
        raise InputError(
            f"The model cannot read {how.tokens} tokens of a pair.",
            f"Use {_MARGIN} to {bert.frame.max_tokens}: --tokens.",
        )
    moved = {name: tensor.to(device) for name, tensor in base.items()}
    tokenizer = PairTokenizer(directory / "tokenizer.json", how.tokens)
    return Ready(bert, moved, tokenizer, checksum, str(dtype).removeprefix("torch."))


def keep(delta: Delta, path: Path) -> None:
    """Write a delta, all of it or nothing."""
    fresh = path.with_name(f".{path.name}.new")
    delta.detached().save(fresh)
    fresh.replace(path)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UnavailableError(f"There is no device {name!r} to compute on: {reason}", "Use cpu or cuda.") from error
    if device.type == "cuda":  # the same seed, the same model: not so by default there
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


def _dtype(precision: Precision, device: torch.device) -> torch.dtype:
    able = torch.cuda.is_bf16_supported() if device.type == "cuda" else native_bf16()
    bf16 = able if precision == "auto" else precision == "bf16"
    return torch.bfloat16 if bf16 else torch.float32


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
