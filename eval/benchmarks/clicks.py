"""Click models: how fast and how true on a log whose truth is known; and what debiasing gives back.

    python -m eval.benchmarks.clicks [--clax-python PYTHON] [--pages N] [--many N] [--run DIR ...]

The log: 1,000 queries, asked by Zipf's law, of 20 documents; pages of ten that a noisy ranker drew by Plackett-Luce,
so that every document is seen at several ranks; clicks by a position-based, a browsing and a dynamic Bayesian user. Ten
fourteenths fit, two choose when to stop, two are measured. `mae50` is the mean error of the attraction of the pairs
shown 50 times or more, as it is: its scale is not adjusted.

clax-models fits the same logs where --clax-python names an interpreter that has it (0.1.1, with jax and jaxlib 0.7.2),
in turns with ours. --many fits a log of so many pages out of Parquet in a process of its own and takes its memory.
--run names finished runs of the experiment `debiased` (eval/experiments/debiased.toml). What is left out is null.
Progress goes to standard error, the figures as one JSON object to standard output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from eval.benchmarks.timing import say
from ranking.clicks.measures import foresight
from ranking.clicks.models.dbn import DynamicBayesian
from ranking.clicks.models.registry import new
from ranking.clicks.sessions import Floats, Sessions

QUERIES, DOCUMENTS, RANKS = 1000, 20, 10
CONTINUATION: Final = 0.9
USERS: Final = ("pbm", "ubm", "dbn")
OFTEN: Final = 50  # impressions from which on a pair's attraction is held against the truth
_BATCH: Final = 65_536


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=140_000, help="pages of the log, all parts together")
    parser.add_argument("--rounds", type=int, default=3, help="how often each fit is timed; the median counts")
    parser.add_argument("--clax-python", type=Path, help="an interpreter that has clax-models")
    parser.add_argument("--many", type=int, default=0, help="pages of the log that does not fit into memory; 0: none")
    parser.add_argument("--run", type=Path, action="append", default=[], help="a run of the experiment `debiased`")
    parser.add_argument("--fit-many", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit_many:
        print(json.dumps(fit_many(arguments.fit_many)))
        return
    truth, logs = reference(arguments.pages)
    figures: dict[str, Any] = {}
    for user in USERS:
        figures |= fitted(user, truth, logs[user], arguments.rounds, arguments.clax_python)
    figures["ten_million_rss_mb"] = figures["ten_million_seconds"] = None
    if arguments.many:
        figures |= many(arguments.many)
    figures["debiased_gap_closed"] = gap_closed(arguments.run)
    print(json.dumps(figures))


@dataclass(frozen=True)
class Truth:
    """What the simulated users really do: attraction and satisfaction per pair, examination by rank and last click."""

    attraction: Floats
    satisfaction: Floats
    theta: Floats
    gamma: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Truth:
        attraction = rng.beta(1.0, 3.0, size=QUERIES * DOCUMENTS).clip(0.02, 0.95)
        satisfaction = rng.beta(2.0, 2.0, size=QUERIES * DOCUMENTS).clip(0.02, 0.98)
        ranks = np.arange(1.0, RANKS + 1.0)
        gamma = np.zeros((RANKS, RANKS + 1))
        gamma[:, 0] = ranks**-0.6
        for rank in range(1, RANKS):
            last = np.arange(1.0, rank + 1.0)
            gamma[rank, 1 : rank + 1] = np.minimum((rank + 1 - last) ** -0.5 * (0.95 - 0.02 * last), 0.98)
        return cls(attraction, satisfaction, ranks**-0.8, gamma)


def reference(pages: int, seed: int = 7) -> tuple[Truth, dict[str, Sessions]]:
    """The truth, and the same pages with the clicks of each user. The numbers are drawn in the order in which the
    reference draws them, so that the logs are equal to it, click for click."""
    rng = np.random.default_rng(seed)
    truth = Truth.drawn(rng)
    share = 1.0 / np.arange(1, QUERIES + 1)
    query = rng.choice(QUERIES, size=pages, p=share / share.sum())
    odds = np.log(truth.attraction / (1.0 - truth.attraction)).reshape(QUERIES, DOCUMENTS)
    score = odds + rng.normal(0.0, 1.0, size=odds.shape)
    shown = np.argsort(-(score[query] + rng.gumbel(size=(pages, DOCUMENTS))), axis=1)[:, :RANKS]
    pair = query[:, None] * DOCUMENTS + shown
    chances = [rng.random(pair.shape) for _ in range(3)]
    return truth, {user: Sessions.of(pair, clicks(user, truth, pair, chances), query) for user in USERS}


def clicks(user: str, truth: Truth, pair: npt.NDArray[np.int64], chances: Sequence[Floats]) -> npt.NDArray[np.bool_]:
    """What a user clicks on pages (n, r), given three uniform numbers per document shown."""
    attraction = truth.attraction[pair]
    if user == "pbm":
        found: npt.NDArray[np.bool_] = chances[0] < attraction * truth.theta
        return found
    made = np.zeros(pair.shape, dtype=np.bool_)
    last, reading = np.zeros(len(pair), dtype=np.int64), np.ones(len(pair), dtype=np.bool_)
    for rank in range(RANKS):
        look = truth.gamma[rank, last] if user == "ubm" else reading
        made[:, rank] = chances[0][:, rank] < attraction[:, rank] * look
        last = np.where(made[:, rank], rank + 1, last)
        satisfied = made[:, rank] & (chances[1][:, rank] < truth.satisfaction[pair[:, rank]])
        reading = reading & ~satisfied & (chances[2][:, rank] < CONTINUATION)
    return made


def parts(log: Sessions) -> tuple[Sessions, Sessions, Sessions]:
    """For fitting, for choosing when to stop, and for measuring."""
    first, second = len(log) * 10 // 14, len(log) * 12 // 14
    return log.take(slice(0, first)), log.take(slice(first, second)), log.take(slice(second, None))


def fitted(user: str, truth: Truth, log: Sessions, rounds: int, peer: Path | None) -> dict[str, Any]:
    """The figures of the model that is the user's own."""
    training, choice, test = parts(log)
    taken, theirs = [], []
    for _ in range(rounds):
        model = new(user)
        start = time.perf_counter()
        model.fit(lambda: [training], validation=lambda: [choice])
        taken.append(time.perf_counter() - start)
        if peer is not None:
            theirs.append(clax(peer, user, training, choice))
    often = np.bincount(training.pair.ravel(), minlength=QUERIES * DOCUMENTS) >= OFTEN
    error = np.abs(model.relevance(np.arange(QUERIES * DOCUMENTS)) - truth.attraction)[often].mean()
    seconds = statistics.median(taken)
    figures: dict[str, Any] = {
        f"{user}_seconds": round(seconds, 3),
        f"{user}_mae50": round(float(error), 4),
        f"{user}_loglik": round(foresight(model, [test]).log_likelihood, 5),
        f"{user}_speedup_vs_clax": round(statistics.median(theirs) / seconds, 1) if theirs else None,
    }
    if isinstance(model, DynamicBayesian):
        figures["dbn_continuation"] = round(model.continuation, 4)
    say(f"{user}: {figures}")
    return figures


CLAX: Final = '''
import inspect, sys, time
import numpy as np
import optax
from flax import nnx
from clax.models import dbn, pbm, ubm
from clax.trainer import Trainer

path, name = sys.argv[1:]
data = np.load(path)

class Pages:
    """Numpy batches, which is the fastest way to feed it."""
    def __init__(self, part, size=4096, shuffle=False):
        self.pair, self.clicks = data[part + "_pair"] + 1, data[part + "_clicks"].astype(np.float32)
        self.size, self.shuffle, self.rng = size, shuffle, np.random.default_rng(0)
    def __len__(self):
        return -(-len(self.pair) // self.size)
    def __iter__(self):
        order = self.rng.permutation(len(self.pair)) if self.shuffle else np.arange(len(self.pair))
        n, r = self.pair.shape
        for start in range(0, n, self.size):
            rows = order[start:start + self.size]
            shape = (len(rows), r)
            yield {"query_doc_ids": self.pair[rows], "clicks": self.clicks[rows],
                   "positions": np.broadcast_to(np.arange(1, r + 1), shape), "mask": np.ones(shape, dtype=bool)}

kind = {"pbm": pbm.PositionBasedModel, "ubm": ubm.UserBrowsingModel, "dbn": dbn.DynamicBayesianNetwork}[name]
sizes = {"positions": 10, "query_doc_pairs": int(data["pairs"]) + 1}
start = time.perf_counter()
model = kind(**{k: v for k, v in sizes.items() if k in inspect.signature(kind).parameters}, rngs=nnx.Rngs(0))
trainer = Trainer(optimizer=optax.adamw(0.01), epochs=50)
trainer.train(model, Pages("training", shuffle=True), Pages("choice"))
print(time.perf_counter() - start)
'''


def clax(python: Path, user: str, training: Sessions, choice: Sessions) -> float:
    """The seconds that clax-models takes for the same fit, compiling included: AdamW, learning rate 0.01, batches of
    4,096, which was the fastest of three settings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.npz"
        np.savez(
            path,
            training_pair=training.pair,
            training_clicks=training.clicks,
            choice_pair=choice.pair,
            choice_clicks=choice.clicks,
            pairs=QUERIES * DOCUMENTS,
        )
        command = [str(python), "-c", CLAX, str(path), user]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"clax-models failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def many(pages: int) -> dict[str, Any]:
    """Fit the dynamic Bayesian network to a log in Parquet in a fresh process: its seconds and its largest memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_many(Path(folder) / "log", pages)
        command = [sys.executable, "-m", "eval.benchmarks.clicks", "--fit-many", str(Path(folder) / "log")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    say(f"{pages:,} pages out of Parquet: {found}")
    return {"ten_million_rss_mb": found["rss_mb"], "ten_million_seconds": found["seconds"], "ten_million_pages": pages}


def write_many(path: Path, pages: int) -> None:
    """A click log of so many pages, written in a stream."""
    from ranking.clicks.log import LogWriter

    with LogWriter(path) as writer:
        for number, start in enumerate(range(0, pages, _BATCH)):
            _, logs = reference(min(_BATCH, pages - start), seed=7 + number)
            writer.add(as_pages(logs["dbn"], start))


def as_pages(log: Sessions, start: int) -> Any:
    """Arrays as a batch of a click log, without a loop over pages."""
    import pyarrow as pa

    from ranking.clicks.pages import Pages
    from ranking.clicks.schema import EVENTS, IMPRESSIONS

    n = len(log)
    names = pa.array([f"p{number}" for number in range(start, start + n)])
    queries = pa.array([f"q{number}" for number in range(QUERIES)])
    documents = pa.array([f"d{number}" for number in range(DOCUMENTS)])
    offsets = pa.array(np.arange(0, (n + 1) * RANKS, RANKS), pa.int32())
    shown = documents.take(pa.array((log.pair % DOCUMENTS).ravel()))
    ranks = pa.array(np.tile(np.arange(1, RANKS + 1, dtype=np.int32), n))
    columns = {
        "query_id": names,
        "query": queries.take(pa.array(log.query)),
        "documents": pa.ListArray.from_arrays(offsets, shown),
        "ranks": pa.ListArray.from_arrays(offsets, ranks),
    }
    rows, places = np.nonzero(log.clicks)
    acts = {
        "query_id": names.take(pa.array(rows)),
        "document": shown.take(pa.array(rows * RANKS + places)),
        "kind": pa.array(["click"]).take(pa.array(np.zeros(len(rows), dtype=np.int64))),
        "rank": pa.array((places + 1).astype(np.int32)),
    }
    return Pages(_filled(columns, IMPRESSIONS, n), _filled(acts, EVENTS, len(rows)), rows)


def _filled(columns: Mapping[str, Any], schema: Any, rows: int) -> Any:
    import pyarrow as pa

    arrays = [columns[f.name] if f.name in columns else pa.nulls(rows, f.type) for f in schema]
    typed = [array.cast(f.type) for array, f in zip(arrays, schema, strict=True)]
    return pa.RecordBatch.from_arrays(typed, schema=schema)


def fit_many(path: Path) -> dict[str, float]:
    """Fit in this process, and say what it took."""
    import resource

    from ranking.clicks.log import ClickLog
    from ranking.clicks.models.base import FitOptions
    from ranking.clicks.models.fitting import Fitting

    start = time.perf_counter()
    outcome = Fitting(ClickLog.open(path)).run("dbn", FitOptions())
    seconds = time.perf_counter() - start
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {"rss_mb": round(rss), "seconds": round(seconds, 1), "iterations": outcome.iterations}


def gap_closed(runs: Sequence[Path]) -> float | None:
    """(debiased - naive) / (judged - naive) of nDCG@20 after the last round, means over all test topics."""
    values: dict[str, list[float]] = {}
    for ranker, value in (row for run in runs for row in last_round(run)):
        values.setdefault(ranker, []).append(value)
    if not {"naive", "debiased", "judged"} <= values.keys():
        return None
    naive, debiased, judged = (statistics.mean(values[name]) for name in ("naive", "debiased", "judged"))
    say(f"nDCG@20 after the last round: naive {naive:.4f}, debiased {debiased:.4f}, judged {judged:.4f}")
    return round((debiased - naive) / (judged - naive), 3)


def last_round(run: Path) -> Iterator[tuple[str, float]]:
    """(ranker, nDCG@20) of every test topic after the last round of a run."""
    import pyarrow.parquet as pq

    rows = pq.read_table(run / "perquery.parquet").to_pylist()
    last = max(row["round"] for row in rows)
    for row in rows:
        if row["round"] == last and row["measure"] == "nDCG@20" and row["split"] == "test":
            yield row["ranker"], row["value"]


if __name__ == "__main__":
    main()
