"""The cache: finished parts, and parts that something interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.store import Store, write_text
from index.errors import UnavailableError


def test_a_part_is_there_once_it_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.read("a") is None
    store.write("a", {"x": [1, 2.5]})
    assert Store(tmp_path).read("a") == {"x": [1, 2.5]}
    (tmp_path / "parts" / "a.json").write_text("{")
    assert store.read("a") is None  # damaged: computed again


def test_rankings_are_finished_only_when_said_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.journal("a") as journal:
        journal.add("t1", [1])
        journal.add("t2", [2])
    assert not store.finished("a")
    assert store.rankings("a") is None
    with store.journal("a") as journal:
        assert journal.done == {"t1", "t2"}
        journal.add("t3", [3])
    store.finish("a", journal)
    assert store.finished("a")
    assert store.rankings("a") == {"t1": [1], "t2": [2], "t3": [3]}


@pytest.mark.parametrize("torn", ["", "[", '["t2",[2', '["t2",[2]]'])
def test_what_a_kill_has_torn_is_cut_off(tmp_path: Path, torn: str) -> None:
    store = Store(tmp_path)
    with store.journal("a") as journal:
        journal.add("t1", ["é"])
    with (tmp_path / "parts" / "a.partial").open("a") as file:
        file.write(torn)
    with store.journal("a") as journal:
        assert journal.done == {"t1"}
        journal.add("t2", ["whole"])
    store.finish("a", journal)
    assert store.rankings("a") == {"t1": ["é"], "t2": ["whole"]}


def test_a_file_appears_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "file.txt", "text")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        Store(tmp_path / "file")


def test_two_processes_at_one_part(tmp_path: Path) -> None:
    """Each writes to a file of its own; whoever is done first has done it for both."""
    first, second = Store(tmp_path), Store(tmp_path)
    with first.journal("a") as mine, second.journal("a") as other:
        mine.add("t1", [1])
        other.add("t1", [1])
        other.add("t2", [2])
        mine.add("t2", [2])
    second.finish("a", other)
    first.finish("a", mine)
    with first.journal("b") as mine:
        mine.add("t1", [1])
    with second.journal("b") as other:  # after the first has ended its work, before it said so
        assert other.done == {"t1"}
    first.finish("b", mine)
    second.finish("b", other)
    assert first.rankings("a") == {"t1": [1], "t2": [2]}
    assert first.rankings("b") == {"t1": [1]}
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["a.jsonl", "b.jsonl"]
