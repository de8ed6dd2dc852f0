"""Events that were acknowledged survive SIGKILL of their writer, each exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from server.store import Store
from server.store.tables import events

pytestmark = pytest.mark.kill

WRITER = """
import sys
from index.types import Ranking
from server.events import Event
from server.store import Page, Round, Store, StoredQuery

store = Store.open(sys.argv[1])
query = StoredQuery(f"query-{sys.argv[2]}", "docs", "text")
store.add_round(query, Round(Ranking.of(["a"], [1.0]), "fused", "v", "g", "rrf"), Page(0, ("a",)), new=True)
number = 0
while True:
    event_id, _ = store.add_event(Event(query.id, f"d{number}", "click", idempotency_key=f"{query.id}-{number}"))
    print(event_id, f"{query.id}-{number}", flush=True)
    number += 1
"""


def test_acknowledged_events_survive_sigkill(address: str) -> None:
    acknowledged: dict[int, str] = {}
    for attempt, lines in enumerate((1, 7, 40)):
        command = [sys.executable, "-c", WRITER, address, str(attempt)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd(), env=os.environ) as writer:
            assert writer.stdout is not None
            seen = [writer.stdout.readline() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            seen += writer.stdout.readlines()  # what was printed before the signal arrived is acknowledged too
        assert writer.returncode == -signal.SIGKILL
        complete = [line.split() for line in seen if line.endswith("\n")]
        assert len(complete) >= lines
        acknowledged.update({int(event_id): key for event_id, key in complete})
    store = Store.open(address)
    with store.reading() as connection:
        stored = [tuple(row) for row in connection.execute(select(events.c.event_id, events.c.idempotency_key))]
        if address.startswith("sqlite"):
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    store.close()
    assert len({key for _, key in stored}) == len(stored)
    assert acknowledged.items() <= dict(stored).items()
