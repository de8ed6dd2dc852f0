"""Events that were acknowledged survive SIGKILL, each exactly once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.kill

WRITER = """
import sys
import numpy as np
from index.types import Ranking
from server.events import Event
from server.store import Page, Round, Store, StoredQuery

store = Store.open(f"sqlite:///{sys.argv[1]}")
query = StoredQuery(f"query-{sys.argv[2]}", "docs", "text")
store.add_round(query, Round(Ranking.of(["a"], [1.0]), "fused", "v", "g", "rrf"), Page(0, ("a",)), new=True)
number = 0
while True:
    event_id, _ = store.add_event(Event(query.id, f"d{number}", "click", idempotency_key=f"{query.id}-{number}"))
    print(event_id, f"{query.id}-{number}", flush=True)
    number += 1
"""


def test_acknowledged_events_survive_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    acknowledged: dict[int, str] = {}
    for attempt, lines in enumerate((1, 7, 40)):
        command = [sys.executable, "-c", WRITER, str(path), str(attempt)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd(), env=os.environ) as writer:
            assert writer.stdout is not None
            seen = [writer.stdout.readline() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            seen += writer.stdout.readlines()  # what was printed before the signal arrived is acknowledged too
        assert writer.returncode == -signal.SIGKILL
        complete = [line.split() for line in seen if line.endswith("\n")]
        assert len(complete) >= lines
        acknowledged.update({int(event_id): key for event_id, key in complete})
    with closing(sqlite3.connect(path)) as connection:
        stored = connection.execute("SELECT event_id, idempotency_key FROM events").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len({key for _, key in stored}) == len(stored)
    assert acknowledged.items() <= dict(stored).items()
