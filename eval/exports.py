"""Rankings as TREC runs, and every measure of every topic as Parquet."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.analysis import Analysis
from eval.experiment import CollectionResults
from eval.formats.trec import run_lines
from eval.jobs import Job, Jobs
from eval.store import write_bytes

PER_QUERY = ("collection", "ranker", "variant", "seed", "k", "round", "split", "topic", "measure", "value")
"""The columns of `perquery.parquet`, in long form."""


def run_name(ranker: str, k: int, seed: int | None, number: int | None) -> str:
    """The stem of a run's file: `knn.k4`, `knn.k4.seed0` where seeds have made different choices, `knn.k4.round2`."""
    return f"{ranker}.k{k}" + (f".seed{seed}" if seed is not None else "") + (f".round{number}" if number else "")


def write_runs(analysis: Analysis, folder: Path) -> None:
    """One file per collection, ranker, k, and seed or round where these matter."""
    for name, found in analysis.results.collections.items():
        jobs = Jobs(found.bench)
        for ranker in analysis.rankers:
            for seed, job in _jobs(analysis, name, ranker):
                _write_run(found, jobs, job, seed, analysis.rounds, folder / name)


def _jobs(analysis: Analysis, collection: str, ranker: str) -> Iterator[tuple[int | None, Job]]:
    """The chosen jobs of a ranker; the seed is None where there was nothing to choose."""
    chosen = analysis.chosen[collection, ranker]
    tuned = len(analysis.results.collections[collection].variants[ranker]) > 1
    for (seed, k), variant in chosen.items():
        if tuned:
            yield seed, Job(variant, k)
        elif seed == analysis.protocol.seeds[0]:
            yield None, Job(variant, k)


def _write_run(
    found: CollectionResults, jobs: Jobs, job: Job, seed: int | None, rounds: list[int], folder: Path
) -> None:
    answers = jobs.answers(job)
    for place, number in enumerate(rounds):
        tag = run_name(job.variant.ranker, job.k, seed, number if len(rounds) > 1 else None)
        lines = [run_lines(topic, answers[topic][place].ranking, tag) for topic in found.topics]
        write_bytes(folder / f"{tag}.trec.gz", gzip.compress("".join(lines).encode(), compresslevel=4, mtime=0))


def write_per_query(analysis: Analysis, path: Path) -> None:
    """Every topic under every seed, with the part that it has in that seed's split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [] for name in PER_QUERY}
    for collection, found in analysis.results.collections.items():
        for ranker in analysis.rankers:
            for (seed, k), variant in analysis.chosen[collection, ranker].items():
                parts = [found.splits[seed][topic] for topic in found.topics]
                for number, values in found.measured[Job(variant, k)].rounds.items():
                    for measure, row in values.items():
                        same = (collection, ranker, variant.label, seed, k, number)
                        block: list[list[Any]] = [[value] * len(row) for value in same]
                        block += [parts, list(found.topics), [measure] * len(row), row.tolist()]
                        for name, cells in zip(PER_QUERY, block, strict=True):
                            columns[name] += cells
    arrays = {name: pa.array(cells) for name, cells in columns.items()}
    texts = {name for name, array in arrays.items() if pa.types.is_string(array.type)}
    table = pa.table({name: arrays[name].dictionary_encode() if name in texts else arrays[name] for name in arrays})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    write_bytes(path, file.getvalue())
