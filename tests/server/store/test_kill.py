"""Events that were acknowledged survive SIGKILL of their writer, each exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from index.types import Ranking
from server.events import Event
from server.store import Page, Round, Store, StoredQuery
from server.store.tables import events, impressions, queries, rankings

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


ERASER = """
import sys
from sqlalchemy.event import listen
from server.store import Store, removals

removals.PIECE = 40
store = Store.open(sys.argv[1])
listen(store.database.engine, "commit", lambda _: print("committed", flush=True) or sys.stdin.readline())
store.erase("person")
"""


@pytest.mark.parametrize("commits", [1, 3, 6, 9])
def test_an_erasure_that_is_killed_goes_on_where_it_stopped(address: str, commits: int) -> None:
    """It is killed at the end of a transaction, before that is durable; what is left of the person is found again."""
    store = Store.open(address, pseudonym_days=30)
    for name, person in (("theirs", "person"), ("more", "person"), ("another's", "somebody")):
        made = Round(Ranking.of(["a"], [1.0]), "fused", "v", "g", "rrf")
        store.add_round(StoredQuery(name, "docs", "text"), made, Page(0, ("a",), person), new=True)
        store.add_events([Event(name, f"d{number}", "click") for number in range(100)])
    command = [sys.executable, "-c", ERASER, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as eraser:
        assert eraser.stdin is not None
        assert eraser.stdout is not None
        for number in range(commits):
            assert eraser.stdout.readline() == "committed\n"
            if number < commits - 1:  # else it waits there for its end
                eraser.stdin.write("\n")
                eraser.stdin.flush()
        eraser.kill()
    before = kept(store)
    assert before["another's"] == (1, 1, 1, 100)
    assert store.erase("person").queries == sum(name in before for name in ("theirs", "more"))
    assert kept(store) == {"another's": (1, 1, 1, 100)}
    store.close()


def kept(store: Store) -> dict[str, tuple[int, ...]]:
    """How many rows there are of each query: itself, its rankings, pages and events."""
    tables = (queries, rankings, impressions, events)
    with store.reading() as connection:
        rows = {table.name: Counter(connection.execute(select(table.c.query_id)).scalars().all()) for table in tables}
    names = set().union(*rows.values())
    return {name: tuple(rows[table.name][name] for table in tables) for name in names}
