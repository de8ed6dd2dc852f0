"""`clickwise demo`, on a few documents and with a quick encoder in place of the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from index.errors import UnavailableError
from index.types import Document
from server import cli, demo
from tests.fakes import HashingEncoder

DOCUMENTS = [
    Document("shutil.copytree", "shutil.copytree(src, dst)", "Copy a folder and all files in it."),
    Document("shutil.copy2", "shutil.copy2(src, dst)", "Copy files with their metadata to a folder."),
    Document("shutil.move", "shutil.move(src, dst)", "Move a folder to another place."),
    Document("copy.copy", "copy.copy(x)", "Shallow copy of a list."),
    Document("copy.deepcopy", "copy.deepcopy(x)", "Deep copy of a list."),
    Document("os.remove", "os.remove(path)", "Remove files."),
    *(Document(f"module.name{number}", f"name{number}()", f"Copy number {number}.") for number in range(10)),
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("index.pydocs.python_documents", lambda: iter(DOCUMENTS))
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: HashingEncoder())
    return tmp_path


def test_the_lists_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["demo"]) == 0
    out, err = capsys.readouterr()
    assert "16 documents" in err
    assert f"Searching for {demo.QUERY} among 16 documents" in out
    lines = out.splitlines()
    heading = next(i for i, line in enumerate(lines) if line.split() == ["before", "moved", "after"])
    rows = lines[heading + 1 : heading + 11]
    assert [row.split()[0] for row in rows] == [str(rank) for rank in range(1, 11)]
    assert "+ shutil.copy" in rows[0].partition("=")[2] + rows[0].partition("▲")[2]
    assert "\x1b" not in out
    assert "moved: by how many ranks" in out
    assert "make serve" in out
    assert "http://127.0.0.1:8080" in out


def test_as_data_with_the_moves(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["demo", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(told["relevant"]) == sorted(demo.RELEVANT)
    assert {row["id"] for row in told["after"][:2]} == set(demo.RELEVANT)
    old = {row["id"]: row["rank"] for row in told["before"]}
    moved = [(old[row["id"]] - row["rank"], row["moved"]) for row in told["after"] if row["id"] in old]
    assert moved
    assert all(expected == said for expected, said in moved)


def test_the_index_is_built_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["demo", "--build-only"]) == 0
    current = place / ".clickwise/indexes/python/current"
    before = current.stat().st_mtime_ns
    err = capsys.readouterr().err
    assert f"into {place / '.clickwise/indexes/python'} ..." in err
    assert "16 documents" in err
    assert cli.run(["demo", "--build-only"]) == 0
    assert capsys.readouterr() == ("", "")
    assert current.stat().st_mtime_ns == before


def test_without_the_model_words_alone_have_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str, **options: object) -> None:
        raise UnavailableError("The default embedding model is not installed.", "Install it.")

    monkeypatch.setattr("index.encoder.load_encoder", missing)
    assert cli.run(["demo"]) == 0
    out, err = capsys.readouterr()
    assert "Without embeddings: The default embedding model is not installed. Install it." in err
    assert "pipeline bm25-qe" in out


def test_on_another_python_two_of_the_list_are_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("index.pydocs.python_documents", lambda: iter(DOCUMENTS[3:]))
    assert cli.run(["demo", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["relevant"]) == 2
    assert set(told["relevant"]) <= {row["id"] for row in told["before"]}
