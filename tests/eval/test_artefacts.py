"""The run directory: files that other tools read, and that say how they were made."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from eval.analysis import ALL, Analysis
from eval.artefacts import write_results
from eval.config import parse_config, read_config
from eval.experiment import Results
from eval.exports import PER_QUERY
from eval.formats.trec import read_run
from eval.measures import measure_all
from index.errors import ConflictError
from ranking.qrels import read_qrels
from tests.eval.conftest import Place


def test_a_run_directory_is_written_once(results: Results, run_directory: Path) -> None:
    assert not write_results(results, run_directory)
    (run_directory / "summary.json").write_text("{")
    assert write_results(results, run_directory)


def test_nothing_of_an_earlier_run_stays_and_other_folders_are_left_alone(
    place: Place, run_directory: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run_directory, tmp_path / "copy")
    assert write_results(place.run({"protocol": {"k": [2]}}), copy)
    assert (copy / "runs" / "small" / "fused.k2.trec.gz").exists()
    assert not (copy / "runs" / "small" / "fused.k1.trec.gz").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConflictError, match="no run directory"):
        write_results(place.run(), tmp_path / "mine")


def test_anyone_can_score_the_runs_again(results: Results, run_directory: Path) -> None:
    """The runs and judgements in the directory give the very values in the Parquet file."""
    import pyarrow.parquet as pq

    rows = pq.read_table(run_directory / "perquery.parquet").to_pylist()
    assert tuple(rows[0]) == PER_QUERY
    qrels = read_qrels(run_directory / "qrels" / "small.qrels", Counter())
    found = results.collections["small"]
    assert len(rows) == 5 * 2 * 2 * 4 * len(found.topics)
    for name, ranker, k, seed in (("fused.k2", "fused", 2, 0), ("knn.k1.seed1", "knn", 1, 1)):
        run = read_run(run_directory / "runs" / "small" / f"{name}.trec.gz")
        for measure in ("nDCG@5", "AP"):
            again = measure_all([measure], qrels, run, topics=found.topics)[measure]
            stored = {
                row["topic"]: row["value"]
                for row in rows
                if (row["ranker"], row["k"], row["seed"], row["measure"]) == (ranker, k, seed, measure)
            }
            np.testing.assert_allclose(again, [stored[topic] for topic in found.topics], atol=1e-9)
    splits = json.loads((run_directory / "topics.json").read_text())["small"]["splits"]
    assert all(row["split"] == splits[str(row["seed"])][row["topic"]] for row in rows)


def test_the_summary_holds_the_main_figures(results: Results, run_directory: Path) -> None:
    summary = json.loads((run_directory / "summary.json").read_text())
    means = Analysis(results).means
    assert summary["ndcg20"] == {ranker: {"small": row["small"]} for ranker, row in means.items()}
    assert summary["mean_ndcg20"] == {ranker: row[ALL] for ranker, row in means.items()}
    assert summary["topics"] == {"small": len(results.collections["small"].topics)}


def test_the_configuration_as_resolved_makes_the_same_experiment(results: Results, run_directory: Path) -> None:
    path = str(run_directory / "config.toml")
    assert parse_config(read_config(path), path) == results.experiment


def test_the_report_is_one_page_that_needs_nothing(run_directory: Path) -> None:
    page = (run_directory / "report.html").read_text()
    for outside in ("src=", "<link", "<script", "@import", "url(http"):
        assert outside not in page
    assert "A &lt;small&gt; experiment." in page
    assert page.count("<svg") == 4
    for heading in ("Results", "Differences", "Cost", "Collections", "Protocol"):
        assert f">{heading}</h2>" in page
    for figure in ("k", "gains", "reliability", "pareto"):
        svg = ElementTree.fromstring((run_directory / "figures" / f"{figure}.svg").read_text())
        texts = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
        assert texts & {"fused", "fused minus bm25-qe", "knn minus bm25-qe"}


def test_equal_results_make_equal_files(results: Results, run_directory: Path, tmp_path: Path) -> None:
    write_results(results, tmp_path / "again")
    for path in sorted(run_directory.rglob("*")):
        if path.is_file() and path.name not in ("summary.json", "report.html", "perquery.parquet"):
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(run_directory)).read_bytes(), path


def test_tables_are_written_in_every_format(run_directory: Path) -> None:
    for ending in ("md", "tex", "csv", "json"):
        text = (run_directory / "tables" / f"main.{ending}").read_text()
        assert "rrf-paper" in text
    packed = gzip.decompress((run_directory / "runs" / "small" / "bm25.k1.trec.gz").read_bytes()).decode()
    assert packed.splitlines()[0].split()[1::2] == ["Q0", "1", "bm25.k1"]
