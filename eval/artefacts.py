"""A run directory: everything that an experiment found, in files that other tools read.

config.toml        the configuration as resolved: `clickwise eval run` takes it again
versions.json      software and machine       indexes.json   the manifests of the indexes
topics.json        per collection: topics with their feedback, dropped topics, splits
qrels/NAME.qrels   the judgements that the figures are about (TREC)
runs/NAME/*.trec.gz   the rankings that the figures are about (TREC)
perquery.parquet   every measure of every topic
tables/            Markdown, LaTeX, CSV, JSON     figures/   SVG
summary.json       the main figures               report.html   all of it for people
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eval.analysis import Analysis
from eval.config import Experiment, differences, parse_config, read_config
from eval.experiment import CollectionResults, Results
from eval.exports import write_per_query, write_runs
from eval.figures import all_figures
from eval.formats.trec import qrels_lines
from eval.protocol import Residual
from eval.report import render
from eval.store import write_text, writing_errors
from eval.tables import FORMATS
from eval.tabulate import all_tables
from eval.toml import dumps
from index.errors import ClickwiseError, ConflictError

CONFIG = "config.toml"
SHOWN = 3  # options that differ, and are named
FOLDERS = ("qrels", "runs", "tables", "figures")
PACKAGES = (
    "clickwise", "numpy", "scipy", "pyarrow", "faiss-cpu", "torch", "transformers", "sentence-transformers",
    "pyserini", "ir-measures", "matplotlib",
)  # fmt: skip


def write_results(results: Results, out: Path) -> bool:
    """Write the run directory; False where it holds just these results already.

    What an earlier run has left there goes. Raises ConflictError for a folder with something else in it.
    """
    if unchanged(results, out):
        return False
    analysis = Analysis(results)
    _clear(out)
    write_text(out / CONFIG, dumps(results.experiment.to_dict()))
    tables, figures, software = all_tables(analysis), all_figures(analysis), versions()
    for table in tables:
        for ending, write in FORMATS.items():
            write_text(out / "tables" / f"{table.name}.{ending}", write(table))
    for name, svg in figures.items():
        write_text(out / "figures" / f"{name}.svg", svg)
    _write_json(out / "versions.json", software)
    _write_json(out / "indexes.json", {name: _index(found) for name, found in results.collections.items()})
    _write_json(out / "topics.json", {name: _topics(found) for name, found in results.collections.items()})
    for name, found in results.collections.items():
        write_text(out / "qrels" / f"{name}.qrels", "".join(_qrels(found)))
    write_runs(analysis, out / "runs")
    write_per_query(analysis, out / "perquery.parquet")
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    write_text(out / "report.html", render(analysis, tables, figures, software, now))
    _write_json(out / "summary.json", {**analysis.summary(), "created": now, "digest": results.digest})
    return True


def check_free(out: Path) -> None:
    """See that a run may be written there. Raises ConflictError where there is something else."""
    advice = "Choose another with --out."
    if out.is_file():
        raise ConflictError(f"{out} is no run directory but a file.", advice)
    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG).is_file():
        raise ConflictError(f"{out} is no run directory and holds something else.", advice)


def check_earlier(out: Path, experiment: Experiment, skipped: Collection[str] = ()) -> None:
    """See that no complete run is lost: one that is there has the same configuration, but for rankers and collections
    that come in addition, and had measured none of the collections that are `skipped` now. Raises ConflictError."""
    try:
        earlier = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    advice = "Give this run another name with --name, or replace that one with --overwrite."
    lost = sorted(set(earlier.get("topics", ())) & set(skipped))
    if lost:
        raise ConflictError(f"The run in {out} has measured {', '.join(lost)}, which is not at hand now.", advice)
    try:
        path = str(out / CONFIG)
        before = parse_config(read_config(path), path).to_dict()
    except ClickwiseError as problem:
        raise ConflictError(f"The run in {out} has a configuration that cannot be read: {problem}", advice) from None
    now = experiment.to_dict()
    for table in ("rankers", "collections"):
        now[table] = {name: options for name, options in now[table].items() if name in before[table]}
    changed = list(differences(before, now))
    if changed:
        named = ", ".join(changed[:SHOWN]) + (" ..." if len(changed) > SHOWN else "")
        raise ConflictError(f"The run in {out} has another configuration ({named}).", advice)


def _clear(out: Path) -> None:
    """Make room. The summary goes first: without it the directory is not complete."""
    check_free(out)
    with writing_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "summary.json").unlink(missing_ok=True)
        for folder in FOLDERS:
            shutil.rmtree(out / folder, ignore_errors=True)


def unchanged(results: Results, out: Path) -> bool:
    """Whether a run directory is complete (the summary is written last) and holds these results."""
    try:
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(summary.get("digest") == results.digest)


def versions() -> dict[str, str]:
    """Software and machine that made the results."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "processors": str(os.cpu_count())}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _index(found: CollectionResults) -> dict[str, Any]:
    return {"path": str(found.bench.path), "manifest": asdict(found.bench.manifest)}


def _topics(found: CollectionResults) -> dict[str, Any]:
    texts = {
        topic.id: {"title": topic.title, "description": topic.description, "narrative": topic.narrative}
        for topic in found.collection.topics.values()
    }
    episodes = found.bench.episodes.to_json()
    kept = [{**row, **texts[row["topic"]]} for row in episodes["kept"]]
    splits = {str(seed): dict(parts) for seed, parts in found.splits.items()}
    return {**episodes, "kept": kept, "splits": splits, "excluded": dict(found.bench.excluded)}


def _qrels(found: CollectionResults) -> Iterator[str]:
    """The judgements less what the protocol removes for every ranker alike."""
    for episode in found.bench.episodes.kept:
        residual = Residual.of(found.bench.protocol, episode.removed)
        yield qrels_lines(episode.topic, residual.judged(found.bench.judged(episode.topic)))


def _write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
