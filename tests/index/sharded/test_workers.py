"""Places where shards live: answers, failures, processes that hang or die, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from index.build import BuildOptions, build_index
from index.errors import InputError, OverloadedError, UnavailableError
from index.index import Index, View
from index.lexical import LexicalQuery
from index.sharded.generation import ShardedGeneration
from index.sharded.processes import ProcessWorkers, portable
from index.sharded.shard import shard_of
from index.sharded.workers import ThreadWorkers, Workers, start
from index.types import Document
from tests.fakes import HashingEncoder
from tests.index.sharded.made import generated, queries, same


class Counter:
    """Something to ask."""

    def __init__(self, first: int) -> None:
        if first < 0:
            raise InputError("No counter begins below zero.", "Begin higher.")
        self.value = first
        self.waiting = threading.Event()

    def add(self, more: int) -> int:
        self.value += more
        return self.value

    def place(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise LookupError("no such thing")

    def hang(self) -> None:
        self.waiting.wait(60)


@pytest.fixture(params=["threads", "processes"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    made = start(request.param, Counter, [(10,), (20,), (-1,)], at_once=2)
    yield made
    made.close()


def test_each_object_answers_for_itself(workers: Workers) -> None:
    assert len(workers) == 3
    answers = [workers.ask(number, "add", 1) for number in (0, 1, 0)]
    assert [answer.result(60) for answer in answers][1] == 21
    assert sorted(answer.result(60) for answer in answers) == [11, 12, 21]
    with pytest.raises(LookupError, match="no such thing"):
        workers.ask(0, "fail").result(60)
    for _ in range(2):
        with pytest.raises(InputError, match="below zero"):
            workers.ask(2, "add", 1).result(60)


def test_what_hangs_leaves_the_others_alone(workers: Workers) -> None:
    hanging = [workers.ask(0, "hang") for _ in range(2)]
    assert workers.ask(1, "add", 5).result(60) == 25
    assert not any(answer.done() for answer in hanging)
    if isinstance(workers, ThreadWorkers):
        workers._objects[0]._made.waiting.set()  # threads cannot be ended from outside


def test_nothing_answers_after_the_end(workers: Workers) -> None:
    workers.ask(0, "add", 1).result(60)
    workers.close()
    with pytest.raises(UnavailableError, match="closed"):
        workers.ask(0, "add", 1).result(60)


def test_an_engine_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="no engine 'cloud'"):
        start("cloud", Counter, [(1,)], at_once=1)


def test_problems_travel() -> None:
    problem = portable(InputError("It is wrong.", "Mend it."))
    assert isinstance(problem, InputError)
    assert problem.advice == "Mend it."
    words = portable(OverloadedError("Too much.", "Wait.", retry_after=3.0))
    assert "Too much." in str(words)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, encoder: HashingEncoder) -> Iterator[tuple[Index, Index]]:
    """A whole index, and one in two shards that was built in processes and is searched in processes."""
    folder, documents = tmp_path_factory.mktemp("processes"), generated(200)
    build_index(folder / "whole", documents, encoder=encoder)
    build_index(folder / "two", documents, BuildOptions(shards=2), encoder=encoder, engine="processes")
    sharded = Index.open(folder / "two", encoder=encoder, engine="processes", patience=60.0)
    yield Index.open(folder / "whole", encoder=encoder), sharded
    sharded.close()


def test_processes_rank_as_one_index(pair: tuple[Index, Index], encoder: HashingEncoder) -> None:
    whole, sharded = pair
    same(whole, sharded, [LexicalQuery(text=text) for text in queries(10)], (10, 1_000))
    vectors = [index.view().vectors for index in pair]
    directions = [found.condition(encoder.encode(queries(5))) for found in vectors if found]
    assert vectors[0].nearest(directions[0], 30) == vectors[1].nearest(directions[1], 30)  # type: ignore[union-attr]


def process_of(index: Index, number: int) -> int:
    generation = index._generation
    assert isinstance(generation, ShardedGeneration)
    assert isinstance(generation._workers, ProcessWorkers)
    found = generation._workers.process_ids()[number]
    assert found is not None
    return found


def partial_answer(index: Index, text: str, seconds: float) -> tuple[list[tuple[str, float]], View]:
    view = index.view()
    assert view.asking is not None
    view.asking.deadline = time.perf_counter() + seconds
    return list(view.lexical.search(LexicalQuery(text=text), 1_000)), view


@pytest.mark.kill
def test_a_shard_that_does_not_answer_is_left_out_and_said(pair: tuple[Index, Index]) -> None:
    whole, sharded = pair
    text = "word1 word2 word20"
    full = list(whole.view().lexical.search(LexicalQuery(text=text), 1_000))
    without = [(doc, score) for doc, score in full if shard_of(doc, 2) != 1]
    assert list(sharded.view().lexical.search(LexicalQuery(text=text), 1_000)) == full
    process = process_of(sharded, 1)
    os.kill(process, signal.SIGSTOP)
    try:
        for seconds in (0.3, 3.0, 30.0):  # until they are enough for the shard that goes on, on a busy machine too
            with suppress(UnavailableError):
                found, view = partial_answer(sharded, text, seconds)
                break
        else:
            pytest.fail("the other shard did not answer")
    finally:
        os.kill(process, signal.SIGCONT)
    assert found == without  # by the statistics of the whole collection still
    assert view.degraded == "shards missing"
    assert view.warnings[0].startswith("Shard 1 of 2 did not answer")
    assert view.anew().degraded is None
    assert list(sharded.view().lexical.search(LexicalQuery(text=text), 1_000)) == full


@pytest.mark.kill
def test_a_shard_that_dies_comes_back(pair: tuple[Index, Index]) -> None:
    whole, sharded = pair
    text = "word3 word4"
    full = list(whole.view().lexical.search(LexicalQuery(text=text), 1_000))
    assert list(sharded.view().lexical.search(LexicalQuery(text=text), 1_000)) == full
    os.kill(process_of(sharded, 0), signal.SIGKILL)
    until = time.monotonic() + 60
    seen: list[tuple[str, float]] = []
    while seen != full and time.monotonic() < until:
        seen, view = partial_answer(sharded, text, 60)
        assert view.degraded is None or seen == [(doc, score) for doc, score in full if shard_of(doc, 2) != 0]
    assert seen == full


def test_no_shard_at_all_is_an_error(
    new_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = new_index(documents=generated(20), shards=2, vectors=False)
    view = index.view()
    assert view.asking is not None
    index.close()
    with pytest.raises(UnavailableError, match="No shard of the index answers"):
        view.lexical.search(LexicalQuery(text="word1"), 5)
    (tmp_path / "own" / "generations" / "000001" / "shards" / "001" / "current").unlink()
    with pytest.raises(UnavailableError, match="Shard 1 of 2 does not come up"):
        Index.open(tmp_path / "own")


def test_a_build_that_fails_leaves_what_was(tmp_path: Path, encoder: HashingEncoder) -> None:
    good = generated(30)
    options = BuildOptions(shards=2, overwrite=True)
    build_index(tmp_path / "index", good, options, encoder=encoder)
    with pytest.raises(InputError, match="Two documents have the id"):
        build_index(tmp_path / "index", [*good, good[3]], options, encoder=encoder)
    odd = Document("odd", text="odd", fields={"year": "not a number"})
    with pytest.raises(InputError, match="year"):
        build_index(tmp_path / "index", [*good, odd], options, encoder=encoder)
    assert [path.name for path in (tmp_path / "index" / "generations").iterdir()] == ["000001"]
    opened = Index.open(tmp_path / "index", encoder=encoder)
    assert opened.view().documents == 30
    build_index(tmp_path / "index", good[:10], BuildOptions(overwrite=True), encoder=encoder)  # and whole again
    assert opened.view().documents == 10
    assert opened.manifest.shards is None


def test_bad_numbers_of_shards() -> None:
    for number in (0, -1, 100_000):
        with pytest.raises(InputError, match="shards"):
            BuildOptions(shards=number)
