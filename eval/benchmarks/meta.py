"""Meta-learning on the packaged MiniLM: what each algorithm gains over ordinary training at the same budget.

    python -m eval.benchmarks.meta TASKS... --held-out TASKS... --out DIR [--steps N] [--episodes N] [--only NAME...]

Trains one model per algorithm on the same task files (`clickwise train tasks` makes them) for the same number of steps,
and ordinary training as the control; what is in DIR already is not trained again. Then every model gets a few documents
of each held-out task as feedback and ranks others: as it is, after as many plain gradient steps as it was meta-trained
for, and after its head was adapted exactly. The steps take the learning rates that did best on a few tasks of the
training, for the control too: those that the model has learned, if any, or one of five for everything. Prints one JSON
object last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from eval.benchmarks.timing import say
from eval.statistics import bootstrap
from ranking.learning.bert import Bert
from ranking.learning.cross_encoder import CrossEncoder, load_cross_encoder
from ranking.learning.head import BIAS_PRECISION, solve
from ranking.learning.inner import Inner, InnerLoop, Read
from ranking.learning.meta import MetaRecipe, Name, learner_of
from ranking.learning.runs import DELTA, Run, run
from ranking.learning.supervised import CrossEncoderLearner, Recipe
from ranking.learning.tasks import Episode, Task, episode, read_tasks
from ranking.learning.tuning import Rates, Tuned

Floats = npt.NDArray[np.float64]

ALGORITHMS: dict[str, tuple[Name, bool]] = {
    "fomaml": ("fomaml", True),
    "maml": ("maml", True),
    "maml, one rate": ("maml", False),
    "second-order": ("second-order", True),
    "reptile": ("reptile", False),
    "anil": ("anil", True),
}
"""The algorithm of each, and whether it learns the learning rates of its inner steps."""
CONTROL, EXACT, ZERO_SHOT, LEARNED = "supervised", "head", "zero-shot", "learned"
NAMES = (CONTROL, EXACT, *ALGORITHMS)
RATES = (0.01, 0.05, 0.2, 0.8, 3.2)
LAYERS, INNER_STEPS, GIVEN, RANKED, PAIRS, DOCUMENTS = 2, 2, 4, 16, 24, 8
TUNING = 20  # tasks of the training on which a rate is chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path, nargs="+", help="task files to learn from")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="task files to measure on")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the models")
    parser.add_argument("--steps", type=int, default=100, help="steps of each training")
    parser.add_argument("--tokens", type=int, default=64, help="tokens that are read of a pair")
    parser.add_argument("--episodes", type=int, default=60, help="held-out tasks of each file")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="these, and the control")
    parser.add_argument("--threads", type=int, default=0, help="cores to compute on; all by default")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    tuning = episodes(read_tasks(arguments.tasks), TUNING)
    asked = [episodes(read_tasks([path]), arguments.episodes) for path in arguments.held_out]
    strata = np.repeat(np.arange(len(asked)), [len(some) for some in asked])
    held_out = [one for some in asked for one in some]
    rows: list[Row] = []
    for name in (CONTROL, *(name for name in arguments.only if name != CONTROL)):
        trained(name, arguments)
        for tuned in ("biases", "head") if name == CONTROL else (_tuned(name),):
            contestant = Contestant.of(arguments.out / slug(name) / DELTA, tuned, arguments.tokens)
            rates = contestant.rates
            tried = measured(contestant, tuning, rates)
            best = max(rates, key=lambda rate: tried[rate].mean())
            wanted = {rate: steps for rate, steps in rates.items() if rate in (best, LEARNED)}
            rows.append(Row(name, tuned, best, measured(contestant, held_out, wanted)))
            say(f"{name}, {tuned}: " + ", ".join(f"{way} {each.mean():.4f}" for way, each in rows[-1].found.items()))
    print(json.dumps({"held_out": len(held_out), "steps": arguments.steps, "rows": table(rows, strata)}))


def slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def trained(name: str, arguments: argparse.Namespace) -> None:
    """Train a contestant, unless its folder holds it."""
    how = Run(
        tasks=tuple(arguments.tasks),
        out=arguments.out / slug(name),
        steps=arguments.steps,
        tokens=arguments.tokens,
        threads=arguments.threads,
        checkpoint_every=20,
    )
    if (how.out / DELTA).exists() and not (how.out / "checkpoint.pt").exists():
        return
    shared: dict[str, Any] = {"pairs": PAIRS, "documents": DOCUMENTS}
    if name == CONTROL:
        recipe = Recipe(method="supervised", **shared)
        run(how, name, recipe, partial(CrossEncoderLearner, recipe=recipe))
        return
    algorithm: Name | Literal["head"]
    algorithm, learns = ALGORITHMS.get(name, ("head", False))
    meta = MetaRecipe(layers=LAYERS, steps=INNER_STEPS, learn_rates=learns, **shared)
    run(how, name, meta, partial(learner_of, algorithm, recipe=meta))


def _tuned(name: str) -> Tuned:
    """What a contestant's steps change: what it was meta-trained to change."""
    return "head" if name in ("anil", EXACT) else "biases"


def episodes(tasks: Sequence[Task], count: int) -> list[Episode]:
    """Tasks in random order, each divided once: the same for whoever asks."""
    random = np.random.default_rng(0)
    found: list[Episode] = []
    for at in random.permutation(len(tasks)).tolist():
        if tasks[at].kind == "feedback" and (made := episode(tasks[at], GIVEN, RANKED, random)) is not None:
            found.append(made)
        if len(found) == count:
            break
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What was measured: nDCG@10 of every held-out task as it is, after the steps at the best rate and at the learned
    ones (under their names), and with the exact head."""

    name: str
    tuned: Tuned
    rate: str
    found: dict[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Contestant:
    """A trained model, and the loop of its steps."""

    model: CrossEncoder
    loop: InnerLoop

    @classmethod
    def of(cls, path: Path, tuned: Tuned, tokens: int) -> Contestant:
        model = load_cross_encoder(str(path), precision="bf16", max_tokens=tokens)
        inner = Inner(tuned, LAYERS, INNER_STEPS, "binary", rank=4, seed=0)
        assert isinstance(model.bert, Bert)
        return cls(model, InnerLoop(model.bert, model.parameters, model.tokenizer, inner))

    @property
    def rates(self) -> dict[str, Rates]:
        """One learning rate for everything, several to choose from, and those that the model has learned."""
        found: dict[str, Rates] = {f"{rate:g}": [dict.fromkeys(self.loop.groups, rate)] * INNER_STEPS for rate in RATES}
        own = self.model.inner_rates
        learned = len({rate for step in own for rate in step.values()}) > 1  # those not learned are all alike
        return {**found, LEARNED: own} if learned else found

    def scores(self, one: Episode, rates: Mapping[str, Rates]) -> tuple[Tensor, dict[str, Tensor]]:
        """The relevance and the scores (n,) of the documents to rank: before and after the steps at each of the rates,
        and with the exact head."""
        model, loop, p = self.model, self.loop, self.model.parameters
        scale = torch.tensor(model.scale)
        with torch.no_grad():
            given, asked = loop.read(p, one.support), loop.read(p, one.target)
            known, pooled = self._pooled(given), self._pooled(asked)
            before = model.bert.logits(p, known)[:, 0] + scale * given.prior
            precision, free = torch.tensor(model.precision), torch.tensor(BIAS_PRECISION)
            change, _ = solve(known, before, given.relevance, given.weight, precision, free)
            plain = model.bert.logits(p, pooled)[:, 0] + scale * asked.prior
        found = {ZERO_SHOT: plain, EXACT: plain + pooled @ change}
        for name, steps in rates.items():
            own = torch.tensor([[step[group] for group in loop.groups] for step in steps])
            changes, _ = loop.adapted(p, given, scale, own, second_order=False)
            with torch.no_grad():
                found[name] = loop.logits(p, asked, changes) + scale * asked.prior
        return asked.relevance, found

    def _pooled(self, read: Read) -> Tensor:
        bert, p, last = self.model.bert, self.model.parameters, self.model.bert.frame.layers - 1
        if self.loop.cut > last:
            return read.x
        return bert.pooled(p, bert.states(p, read.x, read.lengths, range(self.loop.cut, last)), read.lengths)


def measured(contestant: Contestant, asked: Sequence[Episode], rates: Mapping[str, Rates]) -> dict[str, Floats]:
    """nDCG@10 of every episode (episodes,), in each way."""
    found = [contestant.scores(one, rates) for one in asked]
    return {way: np.array([ndcg10(some[way], grades) for grades, some in found]) for way in found[0][1]}


def ndcg10(scores: Tensor, relevance: Tensor) -> float:
    """Ties as they come; at least one document is relevant."""
    gains = relevance.numpy()[np.argsort(-scores.numpy(), kind="stable")][:10]
    best = np.sort(relevance.numpy())[::-1][:10]
    discounts = 1.0 / np.log2(np.arange(2.0, len(best) + 2.0))
    return float(gains @ discounts / (best @ discounts))


def table(rows: Sequence[Row], strata: npt.NDArray[np.int_]) -> list[dict[str, Any]]:
    """The means, and what the steps gain over the first row's with its 95 % interval over the held-out tasks."""
    lines = []
    for row in rows:
        gains = (row.found[row.rate] - rows[0].found[rows[0].rate])[:, None]
        means = bootstrap(gains, np.ones(len(gains)), strata, 10_000, np.random.default_rng(0))
        low, high = np.percentile(means[:, 0], (2.5, 97.5))
        ways = {"zero_shot": ZERO_SHOT, "adapted": row.rate, "learned_rates": LEARNED, "exact_head": EXACT}
        figures = {key: round(float(row.found[way].mean()), 4) for key, way in ways.items() if way in row.found}
        gain = {"gain": round(float(gains.mean()), 4), "interval": [round(float(low), 4), round(float(high), 4)]}
        lines.append({"name": row.name, "tuned": row.tuned, "rate": row.rate, **figures, **gain})
    return lines


if __name__ == "__main__":
    main()
