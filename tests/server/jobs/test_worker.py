"""Workers: what becomes of a job when it, its process, its worker or the store fails. The children here are scripts
that speak as `server.jobs.child` does; `test_jobs_over_http.py` has the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from index.errors import UnavailableError
from server.jobs.queue import Queue
from server.jobs.worker import Pace, Worker
from server.settings import Settings
from server.store import Store
from server.store.tables import jobs

QUICK = Pace(poll=0.02, beat=0.02, grace=600.0)
HEAD = """
import json, os, signal, sys, threading, time
order = json.loads(sys.stdin.readline())
def tell(**line): print(json.dumps(line), flush=True)
"""
WAITS = HEAD + 'tell(progress={"stage": "working", "done": 1, "total": 2}); sys.stdin.read(); tell(stopped=True)'
DEAF = HEAD + 'tell(progress={"stage": "working", "done": 1, "total": 2}); time.sleep(600)'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    yield store
    store.close()


@pytest.fixture
def queue(store: Store) -> Queue:
    return Queue(store)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def acts(script: str) -> None:
        monkeypatch.setattr("server.jobs.worker.COMMAND", (sys.executable, "-c", script))

    return acts


class Running:
    """A worker at work, in a thread."""

    def __init__(self, queue: Queue, settings: Settings, pace: Pace = QUICK) -> None:
        self.worker, self.stop = Worker(queue, settings, pace), threading.Event()
        self._thread = threading.Thread(target=self.worker.run, args=(self.stop,))
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self._thread.join(600)
        assert not self._thread.is_alive()


@pytest.fixture
def start(queue: Queue, settings: Settings) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(pace: Pace = QUICK) -> Running:
        started.append(Running(queue, settings, pace))
        return started[-1]

    yield start
    for running in started:
        running.end()


def until(condition: Callable[[], bool]) -> None:
    """Wait, without a rest, for what another thread brings about."""
    while not condition():
        threading.Event().wait(0.01)


def working(queue: Queue, job_id: int) -> bool:
    return queue.get(job_id).progress is not None


def test_a_job_is_done_with_its_progress_and_result(
    queue: Queue, settings: Settings, acts: Callable[[str], None], tmp_path: Path
) -> None:
    acts(
        HEAD + 'tell(progress={"stage": "working", "done": 2, "total": 2})\n'
        'tell(result={"job": order["job"], "home": order["settings"]["home"]})'
    )
    asked, _ = queue.add("rerank", '{"kind": "rerank"}')
    assert Worker(queue, settings, QUICK).run(threading.Event(), drain=True) == 1
    found = queue.get(asked.id)
    assert found.state == "done"
    assert found.result == {"job": '{"kind": "rerank"}', "home": str(tmp_path)}
    assert found.progress == {"stage": "working", "done": 2, "total": 2}


@pytest.mark.parametrize(
    ("line", "state", "told"),
    [
        ('tell(problem={"kind": "x", "message": "No.", "advice": ""}, again=False)', "failed", "No."),
        ('tell(problem={"kind": "x", "message": "Full.", "advice": ""}, again=True)', "queued", "Full."),
        ("os.kill(os.getpid(), signal.SIGKILL)", "queued", "was killed by signal 9"),
        ("sys.exit(3)", "queued", "ended with 3"),
        ('print("{half a line", end=""); os._exit(1)', "queued", "ended with 1"),
    ],
)
def test_failures(
    queue: Queue, settings: Settings, acts: Callable[[str], None], line: str, state: str, told: str
) -> None:
    acts(HEAD + line)
    asked, _ = queue.add("rerank", "a")
    Worker(queue, settings, QUICK).run(threading.Event(), drain=True)
    found = queue.get(asked.id)
    assert (found.state, found.attempts) == (state, 1)
    assert found.problem is not None
    assert told in found.problem["message"]


@pytest.mark.parametrize("script", [WAITS, DEAF])
def test_cancelling_a_job_that_runs(
    queue: Queue, acts: Callable[[str], None], start: Callable[..., Running], script: str
) -> None:
    acts(script)
    asked, _ = queue.add("rerank", "a")
    start(Pace(poll=0.02, beat=0.02, grace=600.0 if script == WAITS else 0.1))
    until(lambda: working(queue, asked.id))
    queue.cancel(asked.id)
    until(lambda: queue.get(asked.id).state == "cancelled")


def test_a_worker_that_is_stopped_hands_its_job_back(
    queue: Queue, acts: Callable[[str], None], start: Callable[..., Running]
) -> None:
    acts(WAITS)
    asked, _ = queue.add("rerank", "a")
    running = start()
    until(lambda: working(queue, asked.id))
    running.end()
    found = queue.get(asked.id)
    assert (found.state, found.worker, found.attempts) == ("queued", None, 0)


def test_a_job_that_ends_well_while_it_is_stopped_is_done(
    queue: Queue, acts: Callable[[str], None], start: Callable[..., Running]
) -> None:
    acts(WAITS.replace("tell(stopped=True)", "tell(result={})"))
    asked, _ = queue.add("rerank", "a")
    running = start()
    until(lambda: working(queue, asked.id))
    running.end()
    assert queue.get(asked.id).state == "done"


def test_a_worker_that_lost_its_lease_leaves_the_job_to_the_next(
    store: Store, queue: Queue, acts: Callable[[str], None], start: Callable[..., Running]
) -> None:
    acts(WAITS)
    asked, _ = queue.add("rerank", "a")
    start()
    until(lambda: working(queue, asked.id))
    with store.writing() as connection:
        connection.execute(update(jobs).values(worker="another"))
    acts(HEAD + "tell(result={})")
    later, _ = queue.add("rerank", "b")
    until(lambda: queue.get(later.id).state == "done")  # it has let go of the first
    found = queue.get(asked.id)
    assert (found.state, found.worker) == ("running", "another")


def test_a_store_that_is_away_is_waited_for(
    queue: Queue, acts: Callable[[str], None], start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    acts(HEAD + "tell(result={})")
    refused = iter(range(4))
    take, done = queue.take, queue.done

    def away() -> None:
        if next(refused, None) is not None:
            raise UnavailableError("The store is away.")

    monkeypatch.setattr(queue, "take", lambda *given: away() or take(*given))
    monkeypatch.setattr(queue, "done", lambda *given: away() or done(*given))
    asked, _ = queue.add("rerank", "a")
    start()
    until(lambda: queue.get(asked.id).state == "done")
    assert next(refused, None) is None


@pytest.mark.kill
def test_the_command_stops_on_sigterm_and_its_child_dies_with_it(queue: Queue, tmp_path: Path) -> None:
    asked, _ = queue.add("rerank", "a")
    child = f"import os; open({str(tmp_path / 'child')!r}, 'w').write(str(os.getpid()))\n" + WAITS
    command = "import sys, server.jobs.worker as w; from server.cli import run\n"
    command += f"w.COMMAND = (sys.executable, '-c', {child!r})\n"
    command += "sys.exit(run(['worker', '--home', sys.argv[1]]))"
    environment = {**os.environ, "CLICKWISE_JOB_ROOTS": json.dumps({"data": str(tmp_path)})}
    for number, state in ((signal.SIGTERM, "queued"), (signal.SIGKILL, "running")):
        arguments = [sys.executable, "-c", command, str(tmp_path)]
        with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as worker:
            until(lambda: working(queue, asked.id) and queue.get(asked.id).state == "running")
            process = int((tmp_path / "child").read_text())
            worker.send_signal(number)
            _, told = worker.communicate(timeout=600)
        assert "Waiting for jobs of" in told
        assert worker.returncode == (0 if number == signal.SIGTERM else -number)
        assert queue.get(asked.id).state == state
        until(lambda process=process: not alive(process))  # type: ignore[misc]


def alive(process: int) -> bool:
    """Whether a process runs; an orphan that has ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_command_needs_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from server.cli import run

    assert run(["worker", "--home", str(tmp_path)]) == 2
    assert "no folders that jobs may use" in capsys.readouterr().err
