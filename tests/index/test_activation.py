"""Generations: built and left waiting, activated, taken back, and read while they change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from index import generations
from index.build import BuildOptions, build_index
from index.errors import ConflictError, NotFoundError
from index.index import Index
from index.lexical import LexicalQuery
from index.types import Document
from tests.fakes import HashingEncoder

NewIndex = Callable[..., Index]


def rebuilt(index: Index, word: str, *, activated: bool = False, encoder: HashingEncoder | None = None) -> str:
    """A further generation, of two documents about one word."""
    documents = [Document(f"{word}-{number}", word, f"all about {word}") for number in range(2)]
    options = BuildOptions(overwrite=True, activated=activated)
    return build_index(index.path, documents, options, encoder=encoder or HashingEncoder()).generation


def found(index: Index, word: str) -> int:
    return len(index.view().lexical.search(LexicalQuery(text=word), 10))


def test_a_generation_waits_is_activated_and_taken_back(new_index: NewIndex) -> None:
    index = new_index()
    other = Index.open(index.path, encoder=HashingEncoder())  # as another process has it
    assert rebuilt(index, "quagga") == "000002"
    assert generations.names(index.path) == ["000001", "000002"]
    assert (found(index, "quagga"), found(index, "espresso")) == (0, 4)
    assert index.activate() == "000002"
    for one in (index, other):
        assert (one.view().generation, found(one, "quagga"), found(one, "espresso")) == ("000002", 2, 0)
    assert index.activate("000001") == index.activate("000001") == "000001"
    for one in (index, other):
        assert (one.view().generation, found(one, "quagga"), found(one, "espresso")) == ("000001", 0, 4)
    index.upsert([Document("new", "", "quagga")])
    assert found(other, "quagga") == 1


def test_what_is_not_there_cannot_be_activated(new_index: NewIndex) -> None:
    index = new_index()
    for ask in (index.activate, index.at):
        with pytest.raises(NotFoundError, match=r"'000007'.*000001"):
            ask("000007")
    with pytest.raises(NotFoundError, match="000007"):
        generations.activate(index.path, "000007")
    with generations.writing(index.path), pytest.raises(ConflictError):
        rebuilt(index, "quagga")


def test_the_serving_generation_outlives_builds(new_index: NewIndex) -> None:
    index = new_index()
    for word in ("one", "two", "three"):
        rebuilt(index, word)
    assert generations.names(index.path) == ["000001", "000003", "000004"]
    assert found(Index.open(index.path, encoder=HashingEncoder()), "espresso") == 4


def test_a_first_build_serves_whatever_it_was_told(tmp_path: Path) -> None:
    build_index(tmp_path / "new", [Document("a", "", "word")], BuildOptions(activated=False))
    assert found(Index.open(tmp_path / "new"), "word") == 1


def test_an_index_at_one_generation_stays_there(new_index: NewIndex) -> None:
    index = new_index()
    fixed = index.at(rebuilt(index, "quagga"))
    index.upsert([Document("new", "", "quagga")])
    assert (fixed.view().generation, found(fixed, "quagga"), found(index, "quagga")) == ("000002", 2, 1)
    with pytest.raises(ConflictError, match="one generation"):
        fixed.upsert([Document("new", "", "quagga")])


def test_readers_never_fail_while_generations_change(new_index: NewIndex) -> None:
    index = new_index()
    rebuilt(index, "espresso")

    def read(_: int) -> int:
        view = index.view()
        ranking = view.lexical.search(LexicalQuery(text="espresso"), 10)
        assert view.vectors is not None
        assert view.vectors.take(ranking.ids, "raw").any(axis=1).all()
        assert len(view.vectors.nearest(view.vectors.take(ranking.ids[:1], "raw"), 5)[0]) > 0
        return len(ranking)

    with ThreadPoolExecutor(4) as pool:
        reading = pool.map(read, range(200))
        for generation in ("000002", "000001", "000002"):
            index.activate(generation)
        assert set(reading) <= {2, 4}
    assert read(0) == 2


def test_a_gone_directory_is_said_and_survived(new_index: NewIndex, tmp_path: Path) -> None:
    index = new_index()
    assert found(index, "espresso") == 4
    away = shutil.move(index.path, tmp_path / "away")
    assert (found(index, "espresso"), index.view().degraded) == (4, "index gone")
    shutil.move(away, index.path)
    assert index.view().degraded is None
    index.upsert([Document("new", "", "quagga")])
    assert found(index, "quagga") == 1
