"""Batch jobs: what the machinery around the models costs, in speed, memory and after a kill.

    python -m eval.benchmarks.jobs [--data DIR] [--work DIR] [--queries N] [--depth N] [--small N] [--large N] ...

On NFCorpus (DIR/collections/nfcorpus; CLICKWISE_DATA names DIR too). What stands beside each other runs in one go, in
turns where both are in one process. Prints one JSON object last:

    pipeline_share       pairs per second of a job that re-ranks by a cross-encoder, to those of the bare engine
    two_workers_speedup  rows per second of that job by two processes of one thread to those by one, in the middle half
                         of the rows, when all are at work
    ray_vs_local         likewise of the engine ray to those of local, with two workers each; null without ray
    resume_overhead      seconds of a job killed at 50% and resumed, less one start, to those of the undisturbed job
    rss_ratio_1m_vs_10k  peak memory of a kNN job on --large rows (a million) to that on --small rows (ten thousand)
    embed_speedup        texts per second to those of SentenceTransformer.encode with its defaults
    embed_cosine         the lowest cosine of an embedding to the library's in fp32
    scaling, serial_share, model   of a kNN job of a million rows: see `eval.benchmarks.scaling`
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from eval.benchmarks.one_job import apart, outcome, timed
from eval.benchmarks.retrieval import nfcorpus_in, nfcorpus_parser, opened, read_topics
from eval.benchmarks.scaling import scaled
from eval.benchmarks.timing import say
from index.encoder import load_encoder
from index.index import Index
from index.lexical import LexicalQuery
from ranking.jobs import Job, run
from ranking.jobs.engines import engine_of
from ranking.jobs.local import LocalEngine

TOKENS = 128
CONFIG = f"""
[pipelines.read]
stages = [{{ part = "cross-encoder", adapt = "none", prior = "none", depth = 1000, max_tokens = {TOKENS} }}]
[pipelines.near]
stages = [{{ part = "knn" }}]
"""


def main() -> None:
    parser = nfcorpus_parser(__doc__)
    parser.add_argument("--queries", type=int, default=192, help="rows that the cross-encoder re-ranks")
    parser.add_argument("--depth", type=int, default=20, help="candidates of such a row")
    parser.add_argument("--small", type=int, default=10_000, help="rows of the small kNN job")
    parser.add_argument("--large", type=int, default=1_000_000, help="rows of the large kNN job")
    parser.add_argument("--candidates", type=int, default=10, help="candidates of a kNN row")
    parser.add_argument("--texts", type=int, default=600, help="documents that are embedded")
    bench = Bench.of(parser.parse_args())
    shutil.rmtree(bench.folder, ignore_errors=True)
    bench.folder.mkdir(parents=True)
    (bench.folder / "clickwise.toml").write_text(CONFIG)
    figures: dict[str, Any] = {}
    for part in (bench.embedding, bench.scoring, bench.engines, bench.resuming, bench.memory):
        found = part()
        say(json.dumps(found))
        figures |= found
    figures |= scaled(figures)
    shutil.rmtree(bench.folder)
    print(json.dumps(figures))


@dataclass(frozen=True)
class Bench:
    """An index, its topics, and a folder for jobs."""

    index: Index
    topics: list[str]
    folder: Path
    sizes: argparse.Namespace

    @classmethod
    def of(cls, sizes: argparse.Namespace) -> Bench:
        source = nfcorpus_in(sizes.data)
        topics, _ = read_topics(source)
        index = opened(sizes.work / "home" / "indexes" / "nfcorpus", source, encoder=load_encoder("default"))
        return cls(index, list(topics.values()), (sizes.work / "jobs").absolute(), sizes)

    def rows(self, name: str, count: int, depth: int) -> Path:
        """Rows with the candidates of BM25, topic after topic, over and over; each text beside its own documents."""
        lexical = self.index.view().lexical
        known = [(text, list(lexical.search(LexicalQuery(text=text), depth).ids)) for text in self.topics]
        known = [(text, ids) for text, ids in known if len(ids) == depth]
        path = self.folder / name
        schema = pa.schema([("query_id", pa.string()), ("query", pa.string()), ("documents", pa.list_(pa.string()))])
        with pq.ParquetWriter(path, schema) as writer:
            for first in range(0, count, 1_000):
                some = [(str(i), *known[i % len(known)]) for i in range(first, min(first + 1_000, count))]
                columns = [
                    pa.array(column, kind) for column, kind in zip(zip(*some, strict=True), schema.types, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        return path

    def job(self, rows: Path, out: str, pipeline: str, part_rows: int) -> Job:
        options = {
            "index": str(self.index.path.absolute()),
            "pipeline": pipeline,
            "config": str(self.folder / "clickwise.toml"),
            "part_rows": part_rows,
        }
        return Job("rerank", str(rows), str(self.folder / out), options)

    def embedding(self) -> dict[str, float]:
        """Our encoder and the library's on the same texts, in turns."""
        from sentence_transformers import SentenceTransformer

        from index.encoder import locate

        lexical = self.index.view().lexical
        found = (lexical.search(LexicalQuery(text=topic), 10).ids for topic in self.topics)
        ids = list(dict.fromkeys(doc for some in found for doc in some))[: self.sizes.texts]
        texts = [document.contents for document in lexical.documents(ids) if document]
        ours, theirs = load_encoder("default"), SentenceTransformer(str(locate("default")[0]), device="cpu")
        spent, lowest = {"ours": 0.0, "theirs": 0.0}, 1.0
        ours.encode(texts[:32])
        theirs.encode(texts[:32])
        third = math.ceil(len(texts) / 3)
        for at in range(0, len(texts), third):
            some = texts[at : at + third]
            start = time.perf_counter()
            mine = ours.encode(some)
            middle = time.perf_counter()
            reference = np.asarray(theirs.encode(some, normalize_embeddings=True))
            spent["ours"] += middle - start
            spent["theirs"] += time.perf_counter() - middle
            lowest = min(lowest, float((mine * reference).sum(axis=1).min()))
        return {
            "embed_speedup": round(spent["theirs"] / spent["ours"], 2),
            "embed_cosine": round(lowest, 5),
            "embed_texts_per_second": round(len(texts) / spent["ours"], 1),
        }

    def scoring(self) -> dict[str, float]:
        """The job and the bare engine on the same pairs, in one process and in turns."""
        from ranking.learning.cross_encoder import DEFAULT, load_cross_encoder
        from ranking.learning.engine import Engine as Scoring
        from ranking.learning.engine import keep_calls_apart

        keep_calls_apart()  # nothing is remembered, on either side
        rows = self.rows("read.parquet", self.sizes.queries, self.sizes.depth)
        bare = Scoring(load_cross_encoder(DEFAULT, max_tokens=TOKENS))
        pairs = []
        for row in pq.read_table(rows).to_pylist():
            texts = [
                document.contents for document in self.index.view().lexical.documents(row["documents"]) if document
            ]
            _, pieces = bare.model.tokenizer.passages(row["query"], texts, 1)
            pairs += [pair for some in pieces for pair in some]
        half = len(pairs) // 2
        bare.states(pairs[:200])
        run(self.job(self.rows("warm.parquet", 4, self.sizes.depth), "warm", "read", 64))
        spent = {"job": 0.0, "bare": 0.0}
        for turn, some in enumerate((pairs[:half], pairs[half:])):
            start = time.perf_counter()
            bare.states(some)
            spent["bare"] += time.perf_counter() - start
            if turn == 0:
                spent["job"] = timed(self.job(rows, "read", "read", 64)).working
        return {
            "pipeline_share": round(spent["bare"] / spent["job"], 3),
            "pairs_per_second": round(len(pairs) / spent["job"], 1),
        }

    def engines(self) -> dict[str, float | None]:
        """One worker, two workers, and two of ray's, on the same rows."""
        rows = self.folder / "read.parquet"
        part_rows = max(1, self.sizes.queries // 24)
        one = timed(self.job(rows, "one", "read", part_rows), LocalEngine(1, 1))
        two = timed(self.job(rows, "two", "read", part_rows), LocalEngine(2, 1))
        ray = None
        if importlib.util.find_spec("ray") is not None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray = timed(self.job(rows, "ray", "read", part_rows), engine_of("ray", 2, 1)).pace / two.pace
        return {
            "two_workers_speedup": round(two.pace / one.pace, 3),
            "ray_vs_local": None if ray is None else round(ray, 3),
            "start_seconds": round(one.starting, 2),
        }

    def resuming(self) -> dict[str, float]:
        """A job in a process of its own, undisturbed; and another that is killed when half of its parts are done."""
        rows = self.folder / "read.parquet"
        whole = outcome(apart(self.job(rows, "whole", "read", 16)))
        job = self.job(rows, "killed", "read", 16)
        half = math.ceil(self.sizes.queries / 16) // 2
        began = time.perf_counter()
        process = apart(job)
        done = Path(job.output) / "_done"
        while not done.is_dir() or len(list(done.glob("0*.json"))) < half:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        first = time.perf_counter() - began
        began = time.perf_counter()
        again = outcome(apart(job))
        second = time.perf_counter() - began
        imports = second - again["total"]
        both = first + second - again["starting"] - imports
        return {"resume_overhead": round(both / (whole["total"] + imports), 3)}

    def memory(self) -> dict[str, float]:
        """The kNN job on few rows and on many, each in a process of its own."""
        found = {}
        for name, count in (("small", self.sizes.small), ("large", self.sizes.large)):
            rows = self.rows(f"{name}.parquet", count, self.sizes.candidates)
            found[name] = outcome(apart(self.job(rows, name, "near", 1_000)))
            shutil.rmtree(self.folder / name)
            rows.unlink()
        return {
            "rss_ratio_1m_vs_10k": round(found["large"]["peak"] / found["small"]["peak"], 3),
            "rss_large_mb": round(found["large"]["peak"] / 2**20),
            "large_rows": self.sizes.large,
            "knn_rows_per_second": round(self.sizes.large / found["large"]["working"], 1),
        }


if __name__ == "__main__":
    main()
