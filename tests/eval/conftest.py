"""A small experiment, run once for all tests that look at its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.artefacts import write_results
from eval.config import merged, parse_config
from eval.experiment import Results, run_experiment
from eval.store import Store
from tests.eval.made import write_beir
from tests.fakes import HashingEncoder

TABLES: dict[str, Any] = {
    "name": "small",
    "description": "A <small> experiment.",
    "baseline": "bm25-qe",
    "measures": ["nDCG@5", "AP", "P@3", "Judged@5"],
    "protocol": {"k": [1, 2], "split": [0.2, 0.4, 0.4], "seeds": [0, 1]},
    "statistics": {"resamples": 200},
    "rankers": {
        "bm25": {"role": "baseline", "feedback": False},
        "bm25-qe": {"role": "paper"},
        "rrf-paper": {"role": "paper"},
        "knn": {"grid": {"knn.query_weight": [0.0, 1.0, 4.0]}},
        "fused": {},
    },
    "collections": {"small": {"source": "small"}},
}


class Place:
    """Runs experiments in one folder, with one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "cache")
        if not (folder / "small").exists():
            write_beir(folder / "small", negatives=True)

    def run(self, change: dict[str, Any] | None = None, **options: Any) -> Results:
        tables = {**merged(TABLES, change or {}), "data": str(self.folder)}
        return run_experiment(parse_config(tables, "test"), self.store, encoder=HashingEncoder(), **options)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("experiments"))


@pytest.fixture(scope="session")
def results(place: Place) -> Results:
    return place.run()


@pytest.fixture(scope="session")
def run_directory(results: Results, place: Place) -> Path:
    assert write_results(results, place.folder / "run")
    return place.folder / "run"
