"""Click models: how fast and how true on a log whose truth is known; and what debiasing gives back.

    python -m eval.benchmarks.clicks [--make-clax DIR | --clax-python PYTHON] [--pages N] [--many N ...] [--run DIR ...]

The log is that of `eval.benchmarks.reference_log`. Ten fourteenths fit, two choose when to stop, two are measured.
`mae50` is the mean error of the attraction of the pairs shown 50 times or more, as it is: its scale is not adjusted.

clax-models (0.1.1, with jax and jaxlib 0.7.2) fits the same logs in turns with ours, in an environment of its own:
--make-clax makes it in a folder, with venv and pip, unless it is there; --clax-python names one's interpreter. --many
fits every model to a log of so many pages out of Parquet, each in a process of its own whose memory is taken; several
sizes say whether time and memory grow with the log. --run names finished runs of the experiment `debiased`
(eval/experiments/debiased.toml). What is left out is null. Progress goes to standard error, the figures as one JSON
object to standard output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from eval.benchmarks import clax
from eval.benchmarks.reference_log import PAIRS, USERS, Truth, reference, write_stream
from eval.benchmarks.timing import say
from ranking.clicks.measures import foresight
from ranking.clicks.models.dbn import DynamicBayesian
from ranking.clicks.models.registry import new
from ranking.clicks.sessions import Floats, Sessions

OFTEN: Final = 50  # impressions from which on a pair's attraction is held against the truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=140_000, help="pages of the log, all parts together")
    parser.add_argument("--rounds", type=int, default=3, help="how often each fit is timed; the median counts")
    parser.add_argument("--clax-python", type=Path, help="an interpreter that has clax-models")
    parser.add_argument("--make-clax", type=Path, metavar="DIR", help="make the environment of clax-models there")
    parser.add_argument("--many", type=int, nargs="*", default=[], help="pages of logs in Parquet, the largest last")
    parser.add_argument("--run", type=Path, action="append", default=[], help="a run of the experiment `debiased`")
    parser.add_argument("--fit-many", nargs=2, metavar=("LOG", "MODEL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit_many:
        print(json.dumps(fit_many(Path(arguments.fit_many[0]), arguments.fit_many[1])))
        return
    python = clax.environment(arguments.make_clax) if arguments.make_clax else arguments.clax_python
    truth, logs = reference(arguments.pages)
    figures: dict[str, Any] = {}
    for user in USERS:
        figures |= fitted(user, truth, logs[user], arguments.rounds, python)
    figures |= many(arguments.many)
    figures["debiased_gap_closed"] = gap_closed(arguments.run)
    print(json.dumps(figures))


def parts(log: Sessions) -> tuple[Sessions, Sessions, Sessions]:
    """For fitting, for choosing when to stop, and for measuring."""
    first, second = len(log) * 10 // 14, len(log) * 12 // 14
    return log.take(slice(0, first)), log.take(slice(first, second)), log.take(slice(second, None))


def fitted(user: str, truth: Truth, log: Sessions, rounds: int, python: Path | None) -> dict[str, Any]:
    """The figures of the model that is the user's own, and of clax-models' where there is its interpreter."""
    training, choice, test = parts(log)
    seconds, peers = [], []
    for _ in range(rounds):
        model = new(user)
        start = time.perf_counter()
        model.fit(lambda: [training], validation=lambda: [choice])
        seconds.append(time.perf_counter() - start)
        if python is not None:
            peers.append(clax.fit(python, user, training, choice, test))
    often = np.bincount(training.pair.ravel(), minlength=PAIRS) >= OFTEN

    def error(attraction: Floats) -> float:
        return round(float(np.abs(attraction - truth.attraction)[often].mean()), 4)

    ours = statistics.median(seconds)
    theirs = statistics.median(peer.seconds for peer in peers) if peers else None
    figures: dict[str, Any] = {
        f"{user}_seconds": round(ours, 3),
        f"{user}_mae50": error(model.relevance(np.arange(PAIRS))),
        f"{user}_loglik": round(foresight(model, [test]).log_likelihood, 5),
        f"{user}_speedup_vs_clax": None if theirs is None else round(theirs / ours, 1),
        f"{user}_clax_seconds": None if theirs is None else round(theirs, 2),
        f"{user}_clax_mae50": error(peers[-1].attraction) if peers else None,
        f"{user}_clax_loglik": round(peers[-1].log_likelihood, 5) if peers else None,
    }
    if isinstance(model, DynamicBayesian):
        figures["dbn_continuation"] = round(model.continuation, 4)
    say(f"{user}: {figures}")
    return figures


def many(sizes: Sequence[int]) -> dict[str, Any]:
    """Every model fitted to logs of these sizes, clicked by the dynamic Bayesian user, in fresh processes: seconds and
    largest memory by size; the memory of the hungriest model on the largest log is `ten_million_rss_mb`."""
    found: dict[str, Any] = {}
    for pages in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log"
            write_stream(path, pages, "dbn")
            say(f"{pages:,} pages in Parquet: {sum(file.stat().st_size for file in path.rglob('*.parquet')):,} bytes")
            for user in USERS:
                command = [sys.executable, "-m", "eval.benchmarks.clicks", "--fit-many", str(path), user]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found.setdefault(str(pages), {})[user] = json.loads(done.stdout)
                say(f"{user} on {pages:,} pages: {found[str(pages)][user]}")
    largest = found[str(sizes[-1])] if sizes else {}
    return {
        "ten_million_rss_mb": max((each["rss_mb"] for each in largest.values()), default=None),
        "ten_million_pages": sizes[-1] if sizes else None,
        "many": found,
    }


def fit_many(path: Path, name: str) -> dict[str, float]:
    """Fit in this process, and say what it took, measuring on the last tenth included."""
    import resource

    from ranking.clicks.log import ClickLog
    from ranking.clicks.models.base import FitOptions
    from ranking.clicks.models.fitting import Fitting

    start, began = time.perf_counter(), time.process_time()
    outcome = Fitting(ClickLog.open(path)).run(name, FitOptions())
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {
        "rss_mb": round(rss),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - began, 1),
        "passes": outcome.iterations,
    }


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
