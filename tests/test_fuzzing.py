"""The readers under a fuzzer that coverage leads, briefly, where atheris is installed: see `tests.fuzzing`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SEEDS = {
    "jsonl": b'{"_id": "1", "title": "One", "text": "first", "metadata": {"year": 2001}}\n',
    "trec": b"<DOC>\n<DOCNO> A-1 </DOCNO>\n<TEXT>\nfirst & second\n</TEXT>\n</DOC>\n",
    "filter": b'kind == "function" and not (year in [2020, 2021])',
    "behavior": b'{"query_id": "q", "user_query": "shoes", "query_response_hit_ids": ["a", "b"]}\n',
}


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: the extra fuzz")
@pytest.mark.parametrize("target", SEEDS)
def test_nothing_but_errors_of_the_house(target: str, tmp_path: Path) -> None:
    (tmp_path / "seed").write_bytes(SEEDS[target])
    command = [sys.executable, "-m", "tests.fuzzing", target, "-runs=500", "-seed=1", str(tmp_path)]
    command.append(f"-artifact_prefix={tmp_path}/")
    here = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert (done.returncode, "Done 500 runs" in done.stderr) == (0, True), done.stderr[-2000:]
