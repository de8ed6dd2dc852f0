"""`clickwise index`, through the command line as people call it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import generations
from index.index import Index
from index.metric import Metric
from index.places import indexes_in
from index.readers import ReadReport
from index.types import Document
from server import cli
from server.settings import Settings

ROWS = [
    {"_id": "cat", "title": "Cats", "text": "Cats sleep all day.", "metadata": {"year": 2020, "kind": "pet"}},
    {"_id": "dog", "title": "Dogs", "text": "Dogs bark all night.", "metadata": {"year": 2021, "kind": "pet"}},
    {"_id": "owl", "title": "Owls", "text": "Owls hunt at night.", "metadata": {"year": 2022, "kind": "bird"}},
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a corpus in it and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLICKWISE_HOME", raising=False)
    write(tmp_path / "animals.jsonl", ROWS)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `clickwise index ...`, which must succeed; its output, parsed where `--json` asks for it."""

    def called(*arguments: str) -> Any:
        code = cli.run(["index", *arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out) if "--json" in arguments else out

    return called


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `clickwise index ...`, which must fail on one line; that line."""

    def called(*arguments: str) -> str:
        assert cli.run(["index", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("clickwise: ")
        assert err.count("\n") == 1
        return err

    return called


def build(call: Any, *arguments: str) -> Any:
    return call("build", "animals.jsonl", "--encoder", "none", "--json", *arguments)


def test_build_names_the_index_after_its_source(call: Any, place: Path) -> None:
    built = build(call)
    assert built["path"] == str(Path(".clickwise/indexes/animals"))
    assert (place / ".clickwise/indexes/animals/current").exists()
    assert built["manifest"]["documents"] == 3
    assert built["manifest"]["source"] == "animals.jsonl"
    assert built["skipped"] == 0


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        (["--name", "zoo"], ".clickwise/indexes/zoo"),
        (["--home", "elsewhere"], "elsewhere/indexes/animals"),
        (["--out", "here/it/is"], "here/it/is"),
    ],
)
def test_build_puts_the_index_where_it_is_told(call: Any, flags: list[str], path: str) -> None:
    assert build(call, *flags)["path"] == path
    assert Path(path, "current").exists()


def test_the_configuration_file_names_the_home(call: Any, place: Path) -> None:
    (place / "clickwise.toml").write_text('home = "from-file"\n', encoding="utf-8")
    assert build(call)["path"] == "from-file/indexes/animals"


def test_build_takes_every_option_into_the_manifest(call: Any) -> None:
    flags = ["--layout", "multifield", "--boost", "title=2", "--k1", "1.2", "--b", "0.75", "--language", "de"]
    manifest = build(call, *flags, "--field", "year:number")["manifest"]
    assert manifest["layout"] == "multifield"
    assert manifest["boosts"] == {"contents": 1.0, "title": 2.0}
    assert (manifest["k1"], manifest["b"], manifest["analyzer"]) == (1.2, 0.75, "de")
    assert manifest["fields"]["year"] == "number"


def test_columns_that_are_not_found_can_be_named(call: Any, refused: Any, place: Path) -> None:
    (place / "table.tsv").write_text("key\twords\nx\tsome words\n", encoding="utf-8")
    refusal = refused("build", "table.tsv", "--encoder", "none")
    assert "its columns are key, words. Say which columns hold what, as with --column id=docno" in refusal
    flags = ["--column", "id=key", "--column", "text=words", "--encoder", "none", "--json"]
    assert call("build", "table.tsv", *flags)["manifest"]["documents"] == 1


def test_columns_are_mapped(call: Any, place: Path) -> None:
    (place / "table.tsv").write_text("docno\tbody\nx\tsome words\n", encoding="utf-8")
    flags = ["--column", "id=docno", "--column", "text=body", "--encoder", "none", "--json"]
    assert call("build", "table.tsv", *flags)["manifest"]["documents"] == 1


def test_an_index_is_not_overwritten_by_accident(call: Any, refused: Any) -> None:
    build(call)
    assert "--overwrite" in refused("build", "animals.jsonl", "--encoder", "none")
    assert build(call, "--overwrite")["manifest"]["generation"] == "000002"
    assert build(call, "--waiting")["manifest"]["generation"] == "000003"
    (path,) = indexes_in(Path(".clickwise")).values()
    assert generations.read_current(path).generation == "000002"


def test_bad_records_stop_the_build_or_are_counted(call: Any, refused: Any, place: Path) -> None:
    write(place / "animals.jsonl", [ROWS[0], {"text": "no id"}, ROWS[1]])
    assert "animals.jsonl:2:" in refused("build", "animals.jsonl", "--encoder", "none")
    built = build(call, "--on-error", "skip")
    assert (built["manifest"]["documents"], built["skipped"]) == (2, 1)
    assert "animals.jsonl:2:" in built["errors"][0]


def test_update_adds_replaces_and_deletes(call: Any, place: Path) -> None:
    build(call)
    write(place / "more.jsonl", [{"_id": "cat", "text": "Cats are awake."}, {"_id": "fox", "text": "Foxes run."}])
    updated = call("update", "animals", "more.jsonl", "--delete", "owl", "--delete", "unknown", "--json")
    assert (updated["upserted"], updated["deleted"], updated["documents"]) == (2, 1, 3)
    assert updated["unknown"] == ["unknown"]
    assert call("info", "animals", "--json")["documents"] == 3


def test_documents_to_delete_that_are_not_there_are_named(call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    build(call)
    given = [flag for doc in ("owl", "a", "b", "a", "c", "d", "e", "f") for flag in ("--delete", doc)]
    assert cli.run(["index", "update", "animals", *given]) == 0
    out, err = capsys.readouterr()
    assert "1 deleted, 2 now" in out
    assert err == "To be deleted but not in the index: 6 (a, b, c, d, e ...).\n"


def test_a_rebuild_says_what_was_learned_and_stays_behind(call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def rebuilt(*flags: str) -> str:
        assert cli.run(["index", "build", "animals.jsonl", "--encoder", "none", *flags]) == 0
        return capsys.readouterr().err

    assert rebuilt() == ""
    assert rebuilt("--overwrite") == ""
    (path,) = indexes_in(Path(".clickwise")).values()
    Metric(np.eye(2, dtype=np.float32), "a space").save(path / "generations" / "000002")
    left = "What was learned on the generation before stays behind with it: metric."
    assert rebuilt("--waiting") == f"{left} Learn it again with 'clickwise train'.\n"
    assert build(call, "--overwrite")["left_behind"] == ["metric"]
    assert build(call, "--overwrite")["left_behind"] == []
    (path / "current").write_text("damaged", encoding="utf-8")
    assert rebuilt("--overwrite") == ""


def test_info_tells_how_the_index_was_built(call: Any) -> None:
    build(call)
    told = call("info", "animals")
    for fact in ("3", "english", "k1=0.9", "kind (keyword), year (number)", "animals.jsonl"):
        assert fact in told
    assert call("info", "./.clickwise/indexes/animals", "--json")["fields"] == {"kind": "keyword", "year": "number"}


def test_the_list_has_every_index_and_says_what_is_wrong_with_one(
    call: Any, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("list", "--json") == {"indexes": []}
    assert cli.run(["index", "list"]) == 0
    out, err = capsys.readouterr()
    assert (out, err.startswith("There is no index in ")) == ("", True)
    build(call)
    build(call, "--name", "zoo")
    call("update", "zoo", "--delete", "owl")
    first, second = call("list", "--json")["indexes"]
    assert (first["name"], first["documents"], first["source"]) == ("animals", 3, "animals.jsonl")
    assert (second["name"], second["documents"], second["vectors"], second["learned"]) == ("zoo", 2, False, [])
    assert "zoo      2 documents, 0.1 MB, built 20" in call("list")
    (place / ".clickwise/indexes/animals/current").write_text("damaged", encoding="utf-8")
    told = call("list").splitlines()
    assert (len(told), "animals  The pointer" in told[0], "zoo      2" in told[1]) == (2, True, True)


def test_the_list_has_the_indexes_that_the_configuration_names(call: Any, place: Path) -> None:
    build(call, "--out", "there")
    (place / "clickwise.toml").write_text('[indexes]\nmine = "there"\n', encoding="utf-8")
    (row,) = call("list", "--json")["indexes"]
    assert (row["name"], row["path"]) == ("mine", "there")


def test_what_was_learned_is_told_in_numbers(call: Any) -> None:
    call("build", "animals.jsonl", "--json")
    (path,) = indexes_in(Path(".clickwise")).values()
    space = Index.open(path).manifest.space
    assert space is not None
    about = {"learned_from": "train.tsv", "topics": 18, "p": 0.004, "kept": True, "noise": [0.1, 0.2]}
    Metric(np.eye(384, dtype=np.float32), space.digest, about).save(path / "generations" / "000001")
    assert call("info", "animals", "--json")["learned"] == {"metric": about}
    assert "metric (18 topics of train.tsv)" in call("info", "animals")
    assert "learned: metric" in call("list")


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_build_says_that_nothing_was_changed(
    call: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        build(call)

    def documents(*given: object) -> tuple[Iterator[Document], ReadReport]:
        def read() -> Iterator[Document]:
            yield Document("ant", "", "Ants work.")
            signal.raise_signal(signal.SIGINT)

        return read(), ReadReport()

    monkeypatch.setattr("index.cli.documents_of", documents)
    monkeypatch.setattr("index.build.chunks", lambda documents: ([document] for document in documents))
    assert cli.run(["index", "build", "animals.jsonl", "--encoder", "none", "--overwrite"]) == 130
    said = "Interrupted. Nothing was changed; the same command begins anew.\n"
    assert capsys.readouterr() == ("", said)
    found = indexes_in(Path(".clickwise"))
    assert list(found) == (["animals"] if there else [])
    assert all(Index.open(path).view().documents == 3 for path in found.values())
    if there:
        assert cli.run(["index", "update", "animals", "more.jsonl"]) == 130
        assert "Interrupted. What was not complete is gone; the same command begins anew." in capsys.readouterr().err
        assert call("info", "animals", "--json")["documents"] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["build"], "--python-docs"),
        (["build", "animals.jsonl", "--python-docs"], "Both"),
        (["build", "animals.jsonl", "--name", "a", "--out", "b"], "--out"),
        (["build", "animals.jsonl", "--out", "animals.jsonl"], "animals.jsonl is a file. Name a folder, or a new one."),
        (["build", "animals.jsonl", "--out", "animals.jsonl/in"], "animals.jsonl is a file."),
        (["build", "animals.jsonl", "--language", "de", "--analyzer", "simple"], "--language"),
        (["build", "animals.jsonl", "--analyzer", "englsh"], "Did you mean english"),
        (["build", "animals.jsonl", "--field", "year:int"], "keyword, number, date"),
        (["build", "animals.jsonl", "--field", "year"], "NAME:VALUE"),
        (["build", "animals.jsonl", "--layout", "multifield", "--boost", "title=much"], "number"),
        (["build", "missing.jsonl"], "missing.jsonl"),
        (["build", "animals.jsonl", "--format", "docx"], "docx"),
        (["info", "missing"], "missing"),
        (["update", "missing", "--delete", "x"], "missing"),
        (["update", "missing"], "nothing to do"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_mend(refused: Any, arguments: list[str], told: str) -> None:
    assert told in refused(*arguments)


def test_what_a_failed_build_leaves_behind_is_no_index(place: Path, call: Any, refused: Any) -> None:
    call("build", "animals.jsonl", "--encoder", "none")
    (place / "broken.jsonl").write_text('{"_id": "a", "text": "cut', encoding="utf-8")
    assert "broken.jsonl:1" in refused("build", "broken.jsonl", "--encoder", "none")
    assert list(indexes_in(place / ".clickwise")) == ["animals"]
    assert Settings().index_paths().keys() == {"animals"}


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", ".hidden"])
def test_a_name_stays_in_its_folder(place: Path, refused: Any, name: str) -> None:
    assert "cannot be the name of an index" in refused("build", "animals.jsonl", "--name", name)
    assert not (place.parent / "evil").exists()


def test_a_source_without_documents_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "empty.jsonl").write_text("", encoding="utf-8")
    assert cli.run(["index", "build", "empty.jsonl", "--encoder", "none"]) == 0
    out, err = capsys.readouterr()
    assert "0 documents" in out
    assert err == "The source holds no documents: check that it is the right one.\n"


def test_an_index_in_shards_is_built_described_and_updated(place: Path, call: Any, capsys: Any) -> None:
    assert "3 documents in 2 shards" in call(
        "build", "animals.jsonl", "--encoder", "none", "--shards", "2", "--engine", "threads"
    )
    described = call("info", "animals", "--json")
    assert [shard["number"] for shard in described["shards"]] == [0, 1]
    assert sum(shard["documents"] for shard in described["shards"]) == described["documents"] == 3
    assert described["manifest"]["shards"] == 2
    assert "shards" in call("info", "animals")
    assert call("update", "animals", "--delete", "owl", "--json")["documents"] == 2
    assert cli.run(["search", "sleeping cats", "--index", "animals", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [hit["id"] for hit in found["hits"]] == ["cat"]
