"""`clickwise search`, through the command line as people call it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from index.build import build_index
from index.index import Index
from index.types import Document
from ranking.cli import app, only_index
from ranking.config import load_specs
from server import cli
from tests.fakes import HashingEncoder

QUERY = "sailing with coffee in the orbit of a star"


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("CLICKWISE_HOME", "CLICKWISE_CONFIG", "CLICKWISE_DEFAULT_INDEX", "CLICKWISE_DEFAULT_PIPELINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


class Call:
    """Run `clickwise search ...`: its output where it succeeds (parsed with `--json`), its error where it fails."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Any:
        code = cli.run(["search", *arguments])
        out, err = self.capsys.readouterr()
        assert (code, err) == (0, "")
        return json.loads(out) if "--json" in arguments else out

    def error(self, *arguments: str) -> str:
        code = cli.run(["search", *arguments])
        out, err = self.capsys.readouterr()
        assert (code, out) == (2, "")
        return err


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(capsys)


@pytest.fixture
def words(lexical_index: Index) -> tuple[str, ...]:
    return ("--index", str(lexical_index.path))


def test_a_search(call: Call, words: tuple[str, ...], lexical_index: Index) -> None:
    found = call(QUERY, *words, "--limit", "3", "--json")
    assert (found["query"], found["index"], found["pipeline"]) == (QUERY, "lexical", "bm25-qe")
    assert found["documents"] == 60
    assert found["total"] > 3
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    first = found["hits"][0]
    stored = lexical_index.view().lexical.document(first["id"])
    assert stored is not None
    assert (first["title"], first["fields"]) == (stored.title, dict(stored.fields))
    start, end = first["snippet"]["highlights"][0]
    assert first["snippet"]["text"][start:end].lower() in QUERY
    assert first["feedback"] is None
    assert "previous_rank" not in first
    assert set(found["timings_ms"]) == {"rocchio", "total"}


def test_documents_given_as_relevant_and_not(call: Call, words: tuple[str, ...]) -> None:
    plain = call(QUERY, *words, "--limit", "60", "--json")
    before = {hit["id"]: hit["rank"] for hit in plain["hits"]}
    judged = ("--relevant", "sailing-02", "--relevant", "sailing-05", "--not-relevant", "coffee-01")
    found = call(QUERY, *words, *judged, "--limit", "60", "--json")
    assert {hit["id"]: hit["previous_rank"] for hit in found["hits"]} == {
        hit["id"]: before.get(hit["id"]) for hit in found["hits"]
    }
    marks = {hit["id"]: hit["feedback"] for hit in found["hits"] if hit["feedback"]}
    assert marks == {"sailing-02": "relevant", "sailing-05": "relevant", "coffee-01": "not_relevant"}
    assert found["feedback"] == [
        {"document": "sailing-02", "relevance": 1.0},
        {"document": "sailing-05", "relevance": 1.0},
        {"document": "coffee-01", "relevance": 0.0},
    ]
    residual = call(QUERY, *words, *judged, "--exclude-feedback", "--limit", "60", "--json")
    assert {hit["id"] for hit in found["hits"]} - {hit["id"] for hit in residual["hits"]} == set(marks)


def test_an_empty_query_is_answered_from_the_feedback(call: Call, words: tuple[str, ...]) -> None:
    found = call("", *words, "--relevant", "sailing-02", "--json")
    assert found["hits"][0]["id"].startswith("sailing")
    assert call.error(" ", *words).startswith("clickwise: The query is empty.")
    assert "No documents found." in call("the of", *words)


def test_a_document_given_as_both_is_refused(call: Call, words: tuple[str, ...]) -> None:
    said = call.error(QUERY, *words, "--relevant", "sailing-02", "--not-relevant", "sailing-02")
    assert said == (
        "clickwise: The feedback says two things about document 'sailing-02'. Say once how relevant a document is.\n"
    )


def test_feedback_on_an_unknown_document_is_said(call: Call, words: tuple[str, ...]) -> None:
    found = call(QUERY, *words, "--relevant", "sailing-2", "--json")
    assert found["warnings"] == ["The index holds no document 'sailing-2': what was said about it is ignored."]
    assert "Note: The index holds no document 'sailing-2'" in call(QUERY, *words, "--relevant", "sailing-2")


def test_a_filter(call: Call, words: tuple[str, ...]) -> None:
    found = call(QUERY, *words, "--filter", "topic == 'coffee' and part < 4", "--json")
    assert {hit["id"] for hit in found["hits"]} <= {f"coffee-{part:02d}" for part in range(4)}
    assert found["filter"] == "topic == 'coffee' and part < 4"
    assert "column" in call.error(QUERY, *words, "--filter", "topic = 1")
    assert "'topics'" in call.error(QUERY, *words, "--filter", "topics == 'coffee'")


def test_explained(call: Call, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    found = call("sailing boat", *words, "--explain", "--relevant", "sailing-02", "--json")
    for hit in found["hits"]:
        assert hit["stages"]["rocchio"] == {"rank": hit["rank"], "score": hit["score"]}
    assert "sum of" in found["hits"][0]["explanation"]
    text = call("sailing boat", *words, "--explain", "--limit", "1")
    assert re.search(r"rocchio +rank +1 +score \d", text)
    assert re.search(r"words: (boat|sail) [\d.]+, (boat|sail) [\d.]+\n", text)
    assert "Milliseconds: rocchio" in text
    monkeypatch.setattr("ranking.report.WORDS", 2)
    expanded = call("sailing boat", *words, "--explain", "--limit", "1", "--relevant", "sailing-02")
    assert re.search(r"words: \w+ [\d.]+, \w+ [\d.]+, and \d+ more", " ".join(expanded.split()))


def test_the_text(call: Call, words: tuple[str, ...]) -> None:
    text = call(QUERY, *words, "--relevant", "sailing-02", "--limit", "2")
    lines = text.splitlines()
    assert re.fullmatch(r"lexical: \d+ of 60 documents, pipeline bm25-qe, \d+ ms", lines[0])
    assert re.fullmatch(r"  1  \S+  [\d.]+  (▲ \d+|▼ \d+|=|new)(  \+ relevant)?", lines[2])
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in text  # no styles in a pipe


def test_a_document_cannot_steer_the_terminal(call: Call, tmp_path: Path) -> None:
    build_index(tmp_path / "evil", [Document("x", "\x1b[2Jboat", "boat \x1b]0;owned\x07 mast\n" + "boat " * 60)])
    text = call("boat", "--index", "./evil", "--explain")
    assert "\x1b" not in text
    assert "\x07" not in text


def test_an_index_by_name_and_the_only_one(call: Call, tmp_path: Path, corpus: list[Document]) -> None:
    build_index(tmp_path / ".clickwise" / "indexes" / "small", corpus[:20])
    assert call("espresso", "--index", "small", "--json")["index"] == "small"
    assert call("espresso", "--json")["index"] == "small"
    build_index(tmp_path / "elsewhere" / "indexes" / "other", corpus[:20])
    assert call("espresso", "--home", "elsewhere", "--json")["index"] == "other"
    build_index(tmp_path / ".clickwise" / "indexes" / "tiny", corpus[:2])
    assert "Name one with --index: small, tiny." in call.error("espresso")
    assert "tin" in call.error("espresso", "--index", "tin")


def test_settings_choose_index_and_pipeline(
    call: Call, tmp_path: Path, corpus: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        build_index(tmp_path / ".clickwise" / "indexes" / name, corpus[:20])
    own = 'default_index = "two"\ndefault_pipeline = "mine"\n[pipelines.mine]\nstages = [{ part = "rm3" }]\n'
    (tmp_path / "clickwise.toml").write_text(own)
    found = call("espresso", "--json")
    assert (found["index"], found["pipeline"]) == ("two", "mine")
    assert call("espresso", "--pipeline", "bm25", "--json")["pipeline"] == "bm25"
    monkeypatch.setenv("CLICKWISE_DEFAULT_INDEX", "one")
    assert call("espresso", "--json")["index"] == "one"
    (tmp_path / "other.toml").write_text('default_pipeline = "bm25"\n')
    assert call("espresso", "--config", "other.toml", "--json")["pipeline"] == "bm25"
    error = call.error("espresso", "--index", "tow")
    assert f"no index 'tow' in {tmp_path / '.clickwise'}; those there are: one, two." in error


def test_what_cannot_be_done_is_one_line(call: Call, words: tuple[str, ...]) -> None:
    nowhere = f"There is no index in {Path('.clickwise').absolute()}, which does not exist. Build one there"
    assert f"{nowhere} with 'clickwise index build --python-docs'" in call.error("boat")
    assert "'clickwise index build --python-docs --home else'" in call.error("boat", "--home", "else")
    assert "no pipeline 'fuse'" in call.error("boat", *words, "--pipeline", "fuse")
    error = call.error("boat", *words, "--pipeline", "fused")
    assert "These work on it: bm25, bm25-qe." in error
    assert len(error.splitlines()) == 1


def test_an_index_with_vectors_is_searched_with_them(
    call: Call, dense_index: Index, encoder: HashingEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **options: {encoder.name: encoder}[name])
    found = call(QUERY, "--index", str(dense_index.path), "--relevant", "sailing-02", "--explain", "--json")
    assert found["pipeline"] == "smoothed"
    assert set(found["hits"][0]["stages"]) == {stage.name for stage in load_specs()["smoothed"].stages}
    assert set(found["timings_ms"]) == {*found["hits"][0]["stages"], "encode", "total"}


def test_without_the_roof_the_plain_rules_hold(
    tmp_path: Path, corpus: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    build_index(tmp_path / ".clickwise" / "indexes" / "small", corpus[:20])
    app(["espresso", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["index"] == "small"


def test_the_only_index() -> None:
    assert only_index(["a"], Path("home")) == "a"
