"""A run that is killed goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eval.analysis import Analysis
from eval.experiment import Results
from eval.store import Journal
from tests.eval.conftest import Place

pytestmark = pytest.mark.kill

RUN = """
import sys
from pathlib import Path
from eval.store import Journal
from tests.eval.conftest import Place

add, count = Journal.add, 0

def told(self, topic, record):
    global count
    add(self, topic, record)
    print(topic, flush=True)
    count += 1
    if count == 60:
        sys.stdin.read()  # until it is killed

Journal.add = told
Place(Path(sys.argv[1])).run()
"""


def test_a_killed_run_loses_nothing(tmp_path: Path, results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path.cwd(), env=os.environ) as run:
        assert run.stdout is not None
        told = [run.stdout.readline() for _ in range(60)]
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    added: list[str] = []
    add = Journal.add
    monkeypatch.setattr(Journal, "add", lambda self, topic, record: (added.append(topic), add(self, topic, record)))
    again = Place(tmp_path).run()
    rankings = 13 * len(again.collections["small"].topics)
    assert len(added) == rankings - len(told)
    assert Analysis(again).means == Analysis(results).means
