"""The log whose truth is known: that of the reference, click for click, and the same in memory and in Parquet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.benchmarks.clicks import fit_many
from eval.benchmarks.reference_log import DOCUMENTS, USERS, reference, stream, write_stream
from ranking.clicks.codes import sessions
from ranking.clicks.log import ClickLog
from ranking.clicks.sessions import Vocabulary, joined


def test_it_is_the_log_of_the_reference(data: Path, tmp_path: Path) -> None:
    tool = data.parent / "tools" / "reference_click_log.py"
    if not tool.is_file():
        pytest.skip(f"there is no {tool.name} beside the data")
    subprocess.run([sys.executable, str(tool), "--n", "1000", "--out", str(tmp_path / "log.npz")], check=True)
    theirs = np.load(tmp_path / "log.npz")
    truth, logs = reference(1_000)
    assert (truth.attraction == theirs["alpha"].ravel()).all()
    for user in USERS:
        assert (logs[user].pair == theirs["q"][:, None] * DOCUMENTS + theirs["docs"]).all()
        assert (logs[user].clicks == theirs[user]).all()


def test_a_stream_has_one_truth_and_comes_back_from_parquet(tmp_path: Path) -> None:
    parts = list(stream(700, "dbn", batch=300))
    assert [len(part) for part in parts] == [300, 300, 100]
    made = joined(parts)
    write_stream(tmp_path / "log", 700, "dbn")
    vocabulary = Vocabulary()
    back = joined(sessions(ClickLog.open(tmp_path / "log"), vocabulary))
    whole = joined(stream(700, "dbn"))
    names = np.array([int(query[1:]) * DOCUMENTS + int(document[1:]) for query, document in vocabulary.pairs])
    assert (names[back.pair] == whole.pair).all()
    assert (back.clicks == whole.clicks).all()
    assert made.clicks.mean() == pytest.approx(whole.clicks.mean(), abs=0.03)
    found = fit_many(tmp_path / "log", "pbm")
    assert found["passes"] > 0 < found["rss_mb"]
