"""The queue on both databases: each job to one worker at a time, none lost, none done without end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from index.errors import ConflictError, NotFoundError
from server.jobs.queue import ATTEMPTS, Queue
from server.store import Store
from server.store.retention import prune
from server.store.tables import jobs

PROBLEM = {"kind": "unavailable", "message": "The disk is full.", "advice": "Free some."}


@pytest.fixture
def queue(store: Store) -> Queue:
    return Queue(store)


def due(store: Store) -> None:
    """Let leases and pauses be over."""
    with store.writing() as connection:
        connection.execute(update(jobs).values(due_ms=0))


def test_a_job_is_taken_once_and_ends(queue: Queue) -> None:
    asked, known = queue.add("rerank", '{"kind": "rerank"}')
    assert (asked.state, asked.attempts, known) == ("queued", 0, False)
    taken = queue.take("one")
    assert taken is not None
    assert (taken.id, taken.state, taken.worker, taken.attempts) == (asked.id, "running", "one", 1)
    assert queue.take("two") is None
    assert queue.beat(asked.id, "one", {"stage": "working", "done": 5, "total": 10}) == "go on"
    assert queue.get(asked.id).progress == {"stage": "working", "done": 5, "total": 10}
    queue.done(asked.id, "one", {"rows": 10})
    ended = queue.get(asked.id)
    assert (ended.state, ended.result, ended.worker) == ("done", {"rows": 10}, None)
    assert ended.finished_ms is not None
    assert ended.started_ms is not None
    assert ended.created_ms <= ended.started_ms <= ended.finished_ms
    due_again = queue.take("two")
    assert due_again is None


def test_the_backlog(queue: Queue, store: Store) -> None:
    assert queue.backlog() == {"queued": (0, 0.0), "running": (0, 0.0)}
    first, second, third = (queue.add("rerank", str(number))[0] for number in range(3))
    assert queue.take("one") is not None
    with store.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.job_id == second.id).values(created_ms=second.created_ms - 90_000))
    waiting = queue.backlog()
    assert (waiting["queued"][0], waiting["running"][0]) == (2, 1)
    assert waiting["queued"][1] >= 90
    queue.done(first.id, "one", {})
    queue.cancel(third.id)
    assert {state: count for state, (count, _) in queue.backlog().items()} == {"queued": 1, "running": 0}


def test_jobs_are_taken_in_their_order(queue: Queue) -> None:
    ids = [queue.add("rerank", str(number))[0].id for number in range(3)]
    taken = [queue.take("one") for _ in range(4)]
    assert [job and job.id for job in taken] == [*ids, None]


def test_many_workers_take_each_job_once(queue: Queue) -> None:
    ids = [queue.add("rerank", str(number))[0].id for number in range(24)]

    def work(name: int) -> list[int]:
        taken = []
        while job := queue.take(str(name)):
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [job for one in pool.map(work, range(6)) for job in one]
    # A worker that found the row of another locked passes it by: with several at it none is missed in the end.
    taken += work(7)
    assert sorted(taken) == ids


def test_a_key_asks_for_one_job(queue: Queue) -> None:
    first, _ = queue.add("rerank", "a", "key")
    again, known = queue.add("rerank", "a", "key")
    assert (again.id, known) == (first.id, True)
    with pytest.raises(ConflictError, match="'key' belongs to another job"):
        queue.add("rerank", "b", "key")
    with ThreadPoolExecutor(4) as pool:
        ids = {job.id for job, _ in pool.map(lambda _: queue.add("rerank", "c", "other"), range(8))}
    assert len(ids) == 1


def test_a_silent_worker_loses_its_job(store: Store, queue: Queue) -> None:
    asked, _ = queue.add("rerank", "a")
    queue.take("silent")
    due(store)
    taken = queue.take("next")
    assert taken is not None
    assert (taken.id, taken.attempts) == (asked.id, 2)
    assert queue.beat(asked.id, "silent", None) == "lost"
    queue.done(asked.id, "silent", {"rows": 1})
    queue.failed(asked.id, "silent", PROBLEM, again=False)
    queue.hand_back(asked.id, "silent")
    found = queue.get(asked.id)
    assert (found.state, found.worker, found.result) == ("running", "next", None)


def test_a_beat_renews_the_lease(store: Store, queue: Queue) -> None:
    asked, _ = queue.add("rerank", "a")
    queue.take("one")
    due(store)
    assert queue.beat(asked.id, "one", None) == "go on"
    assert queue.take("two") is None


def test_workers_that_die_are_not_given_a_job_without_end(store: Store, queue: Queue) -> None:
    asked, _ = queue.add("rerank", "a")
    for _ in range(ATTEMPTS):
        assert queue.take("dies") is not None
        due(store)
    assert queue.take("next") is None
    found = queue.get(asked.id)
    assert found.state == "failed"
    assert found.problem is not None
    assert "died or gone silent" in found.problem["message"]


def test_a_failure_that_may_pass_is_tried_again_after_a_pause(store: Store, queue: Queue) -> None:
    asked, _ = queue.add("rerank", "a")
    for attempt in range(1, ATTEMPTS + 1):
        taken = queue.take("one")
        assert taken is not None
        assert taken.attempts == attempt
        queue.failed(asked.id, "one", PROBLEM, again=True)
        assert queue.take("one") is None  # not yet
        due(store)
    found = queue.get(asked.id)
    assert (found.state, found.problem, found.attempts) == ("failed", PROBLEM, ATTEMPTS)


def test_a_failure_of_the_jobs_own_ends_it(queue: Queue) -> None:
    asked, _ = queue.add("rerank", "a")
    queue.take("one")
    queue.failed(asked.id, "one", PROBLEM, again=False)
    assert queue.get(asked.id).state == "failed"


def test_a_job_that_is_handed_back_is_due_at_once(queue: Queue) -> None:
    asked, _ = queue.add("rerank", "a")
    queue.take("one")
    queue.hand_back(asked.id, "one")
    assert queue.get(asked.id).attempts == 0
    taken = queue.take("two")
    assert taken is not None
    assert (taken.id, taken.attempts) == (asked.id, 1)


def test_cancelling(store: Store, queue: Queue) -> None:
    waiting, running, silent, done = (queue.add("rerank", str(number))[0].id for number in range(4))
    assert queue.cancel(waiting).state == "cancelled"
    assert queue.cancel(waiting).state == "cancelled"
    for _ in range(3):
        queue.take("one")
    queue.done(done, "one", {})
    assert queue.cancel(running).cancelling
    assert queue.beat(running, "one", None) == "cancel"
    queue.cancelled(running, "one")
    assert queue.get(running).state == "cancelled"
    queue.cancel(silent)
    due(store)
    assert queue.take("two") is None
    assert queue.get(silent).state == "cancelled"
    with pytest.raises(ConflictError, match="it is done"):
        queue.cancel(done)
    with pytest.raises(NotFoundError, match="no job 999"):
        queue.cancel(999)
    with pytest.raises(NotFoundError, match="no job 999"):
        queue.get(999)


def test_a_cancelled_job_that_fails_is_cancelled(queue: Queue) -> None:
    asked, _ = queue.add("rerank", "a")
    queue.take("one")
    queue.cancel(asked.id)
    queue.failed(asked.id, "one", PROBLEM, again=True)
    assert queue.get(asked.id).state == "cancelled"


def test_listing(queue: Queue) -> None:
    ids = [queue.add("rerank", str(number))[0].id for number in range(5)]
    queue.take("one")
    assert [job.id for job in queue.list()] == ids[::-1]
    assert [job.id for job in queue.list("running")] == ids[:1]
    assert [job.id for job in queue.list(before=ids[3], limit=2)] == [ids[2], ids[1]]


def test_ended_jobs_are_pruned_with_the_rest(store: Store, queue: Queue) -> None:
    old, _ = queue.add("rerank", "a")
    queue.take("one")
    queue.done(old.id, "one", {})
    kept, _ = queue.add("rerank", "b")
    with store.writing() as connection:
        connection.execute(update(jobs).values(created_ms=0))
        connection.execute(update(jobs).where(jobs.c.job_id == old.id).values(finished_ms=0))
    prune(store.database, 90)
    assert [job.id for job in queue.list()] == [kept.id]
