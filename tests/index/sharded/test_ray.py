"""Shards as actors on a Ray cluster of two nodes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from index.build import BuildOptions, build_index
from index.errors import InputError
from index.index import Index
from index.lexical import LexicalQuery
from index.sharded.workers import start
from tests.fakes import HashingEncoder
from tests.index.sharded.made import generated, queries, same
from tests.index.sharded.test_workers import Counter

ROOT = Path(__file__).parents[3]


def test_shards_are_built_and_searched_on_the_nodes(ray_cluster: str, tmp_path: Path, encoder: HashingEncoder) -> None:
    documents, engine = generated(120), f"ray:{ray_cluster}"
    build_index(tmp_path / "whole", documents, encoder=encoder)
    build_index(tmp_path / "two", documents, BuildOptions(shards=2), encoder=encoder, engine=engine)
    whole = Index.open(tmp_path / "whole", encoder=encoder)
    sharded = Index.open(tmp_path / "two", encoder=encoder, engine=engine, patience=60.0)
    same(whole, sharded, [LexicalQuery(text=text) for text in queries(10)], (10, 1_000))
    sharded.close()


def test_actors_answer_fail_and_come_back(ray_cluster: str) -> None:
    import ray

    workers = start(f"ray:{ray_cluster}", Counter, [(10,), (-1,)], at_once=2)
    assert workers.ask(0, "add", 1).result(60) == 11
    with pytest.raises(LookupError, match="no such thing"):
        workers.ask(0, "fail").result(60)
    with pytest.raises(InputError, match="below zero"):
        workers.ask(1, "add", 1).result(60)
    ray.kill(workers._actors[0], no_restart=False)  # type: ignore[attr-defined]
    until = time.monotonic() + 60
    value = 0
    while value != 15 and time.monotonic() < until:
        answer = workers.ask(0, "add", 5)
        value = 0 if answer.exception(60) else answer.result()
        if value == 16:  # the kill has not arrived yet: begin anew
            value = 0
    assert value >= 15
    workers.close()
    assert workers.ask(0, "add", 1).exception(10) is not None


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    """In a process of its own: this one may be connected to another cluster."""
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    code = (
        "from index.ray_cluster import connected\ntry: connected('127.0.0.1:1')\nexcept Exception as e: print(repr(e))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("UnavailableError('The Ray cluster 127.0.0.1:1 does not answer")
