"""Evaluation: how long measuring takes, and how long an experiment that has nothing new to do.

    python -m eval.benchmarks.evaluation [--data DIR] [--work DIR] [--collection NAME]...

Measures a made-up run of 1000 topics with 1000 documents each by all the default measures. Runs the experiment
`feedback` twice as a command, by default on the collection med where DIR/collections has it and on a made-up one
without embeddings elsewhere; the second run is the figure. Progress goes to standard error, the figures as one JSON
object to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from eval.benchmarks.timing import say
from eval.formats.trec import read_run, run_lines
from eval.measures import DEFAULTS, measure_all
from index.types import Ranking

TOPICS = DOCUMENTS = 1000
JUDGED = 100  # documents per topic
WORDS = 400  # of the made-up collection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CLICKWISE_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, help="where indexes and results go; a temporary folder unless given")
    parser.add_argument("--collection", action="append", help="of the experiment; repeatable")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work: Path = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        figures = {**measuring(work), **running(arguments.data.resolve(), work.resolve(), arguments.collection)}
    print(json.dumps(figures))


def measuring(work: Path, repeats: int = 5) -> dict[str, float]:
    """Seconds to measure the made-up run, the median of some repeats, and to read it from a TREC file."""
    random = np.random.default_rng(0)
    names = np.array([f"doc-{i:06d}" for i in range(5 * DOCUMENTS)])
    qrels, run = {}, {}
    for topic in map(str, range(TOPICS)):
        drawn = names[random.choice(len(names), DOCUMENTS + JUDGED, replace=False)].tolist()
        judged = drawn[-2 * JUDGED :: 2]  # half of them are ranked
        qrels[topic] = dict(zip(judged, random.integers(0, 4, JUDGED).tolist(), strict=True))
        run[topic] = Ranking(drawn[:DOCUMENTS], np.arange(DOCUMENTS, 0.0, -1.0))
    path = work / "made-up.trec"
    path.write_text("".join(run_lines(topic, ranking, "made-up") for topic, ranking in run.items()))
    start = time.perf_counter()
    read = read_run(path)
    reading = time.perf_counter() - start
    path.unlink()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        values = measure_all(DEFAULTS, qrels, read)
        taken.append(time.perf_counter() - start)
    say(f"{len(DEFAULTS)} measures of {TOPICS} topics: {taken}; mean nDCG@20 {values['nDCG@20'].mean():.4f}")
    return {
        "evaluate_1000x1000_seconds": round(statistics.median(taken), 3),
        "read_run_1000x1000_seconds": round(reading, 3),
    }


def running(data: Path, work: Path, collections: list[str] | None) -> dict[str, object]:
    """Wall seconds of the experiment as a command, the first time and the second time."""
    command = [str(Path(sys.executable).with_name("clickwise")), "eval", "run", "feedback", "--json"]
    command += ["--out", str(work / "run"), "--cache", str(work / "cache")]
    chosen = collections or (["med"] if (data / "collections" / "med").is_dir() else [])
    if chosen:
        command += ["--data", str(data / "collections")]
    else:
        chosen = [f"made-up={make_up(work / 'made-up')}"]
        command += ["--ranker", "bm25", "--ranker", "bm25-qe", "--set", "index.encoder=none"]
    for collection in chosen:
        command += ["--collection", collection]
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(round(time.perf_counter() - start, 3))
        say(f"{' '.join(command)}: {seconds[-1]} s")
    return {"first_run_seconds": seconds[0], "rerun_seconds": seconds[1]}


def make_up(folder: Path) -> Path:
    """A BEIR folder of documents with random words; those that share a topic's words are relevant to it."""
    random = np.random.default_rng(0)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    words = [f"word{i}" for i in range(WORDS)]
    documents = {f"d{i}": set(random.choice(words, 30).tolist()) for i in range(2000)}
    topics = {f"t{i}": random.choice(words, 3, replace=False).tolist() for i in range(100)}
    lines = [json.dumps({"_id": doc, "text": " ".join(sorted(held))}) for doc, held in documents.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    lines = [json.dumps({"_id": topic, "text": " ".join(asked)}) for topic, asked in topics.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    rows = []
    for topic, asked in topics.items():
        rows += [f"{topic}\t{doc}\t1" for doc, held in documents.items() if len(held.intersection(asked)) > 1]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return folder


if __name__ == "__main__":
    main()
