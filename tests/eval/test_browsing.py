"""Run directories for whoever shows them: listed, opened, compared, by topic; and nothing but them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.browsing import Browser
from eval.tables import Table
from index.errors import ConflictError, NotFoundError


@pytest.fixture(scope="module")
def folder(run_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, the second of them older, and what does not belong there."""
    folder = tmp_path_factory.mktemp("browsed") / "runs"
    for name, made in (("one", "2026-02-01 10:00 UTC"), ("two", "2026-01-01 10:00 UTC")):
        shutil.copytree(run_directory, folder / name)
        summary = json.loads((folder / name / "summary.json").read_text())
        (folder / name / "summary.json").write_text(json.dumps({**summary, "created": made}))
    (folder / "unfinished").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "summary.json").write_text("{")
    shutil.copytree(run_directory, folder.parent / "secret")
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "notes.txt").write_text("none of a run")
    return folder


def test_complete_runs_are_listed_the_newest_first(folder: Path) -> None:
    runs = Browser(folder).runs()
    assert [run["run"] for run in runs] == ["one", "two"]
    assert runs[0]["measure"] == "nDCG@5"
    assert set(runs[0]["means"]) == {"bm25", "bm25-qe", "rrf-paper", "knn", "fused"}
    assert Browser(folder / "nowhere").runs() == []


def test_a_run_comes_with_its_tables(folder: Path, run_directory: Path) -> None:
    run = Browser(folder).run("one")
    assert run["baseline"] == "bm25-qe"
    assert [table["name"] for table in run["tables"]][:2] == ["main", "comparisons"]
    main = run["tables"][0]
    written = (run_directory / "tables" / "main.md").read_text()
    for row in main["rows"]:
        for cell in row[1:]:
            assert cell["text"] in written
            assert cell["text"] in f"{cell['value']:.3f}"
    assert [sum(cell["bold"] for cell in column) for column in zip(*main["rows"], strict=True)] == [0, 1]


def test_two_rankers_topic_by_topic(folder: Path) -> None:
    found = Browser(folder).topics("one", "fused", "bm25", "AP")
    rows = found["topics"]
    assert (found["measure"], len({row["topic"] for row in rows})) == ("AP", len(rows))
    assert [row["difference"] for row in rows] == sorted((row["first"] - row["second"] for row in rows), reverse=True)
    assert all(row["query"] for row in rows)
    same = Browser(folder).topics("one", "bm25", "bm25")
    assert {row["difference"] for row in same["topics"]} == {0.0}


def test_one_topic_with_its_rankings(folder: Path) -> None:
    browser = Browser(folder)
    topic = browser.topics("one", "fused", "bm25")["topics"][0]["topic"]
    found = browser.topic("one", topic, rankers=["fused", "bm25"], k=1, depth=3)
    assert list(found["lists"]) == ["fused", "bm25"]
    assert [len(rows) for rows in found["lists"].values()] == [3, 3]
    assert found["k"] == 1


def test_two_runs_are_compared(folder: Path) -> None:
    found = Browser(folder).compare("one", "two")
    assert [row[0]["text"] for row in found["rows"]] == [
        f"one:{name}" for name in ("bm25", "bm25-qe", "rrf-paper", "knn", "fused")
    ]
    difference = [column["name"] for column in found["columns"]].index("A - B")
    assert {row[difference]["value"] for row in found["rows"]} == {0.0}


NAMES = [
    "nope",
    "",
    ".",
    "..",
    "../secret",
    "one/../../secret",
    "/etc",
    "link",
    "unfinished",
    "notes.txt",
    "one/",
    "o\0ne",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_elsewhere(folder: Path, name: str) -> None:
    browser = Browser(folder)
    asks: list[Callable[[], object]] = [
        lambda: browser.run(name),
        lambda: browser.topics(name, "fused", "bm25"),
        lambda: browser.topic(name, "1"),
        lambda: browser.compare(name, "one"),
        lambda: browser.compare("one", name),
    ]
    for ask in asks:
        with pytest.raises(NotFoundError, match="There is no run"):
            ask()


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("config.toml", None),
        ("tables/main.json", "{"),
        ("perquery.parquet", "no Parquet"),
        ("topics.json", "[]"),
        ("topics.json", None),
        ("summary.json", "{"),
    ],
)
def test_a_damaged_run_is_told(run_directory: Path, tmp_path: Path, file: str, damage: str | None) -> None:
    shutil.copytree(run_directory, tmp_path / "runs" / "bad")
    shutil.copytree(run_directory, tmp_path / "runs" / "good")
    (tmp_path / "runs" / "bad" / file).unlink()
    if damage is not None:
        (tmp_path / "runs" / "bad" / file).write_text(damage)
    browser = Browser(tmp_path / "runs")
    topic = browser.topics("good", "fused", "bm25")["topics"][0]
    asks: list[Callable[[], object]] = [
        lambda: browser.run("bad"),
        lambda: browser.topics("bad", "fused", "bm25"),
        lambda: browser.topic("bad", topic["topic"], topic["collection"]),
        lambda: browser.compare("good", "bad"),
    ]
    told = []
    for ask in asks:
        try:
            ask()
        except (ConflictError, NotFoundError) as error:
            told.append(error.message)
    assert told
    assert all("bad" in message for message in told)
    assert "good" in {run["run"] for run in browser.runs()}


def test_p_values_are_numbers_that_are_never_shown_as_zero() -> None:
    table = Table("t", "Caption", ["name", "p"], [["a", 0.00004], ["b", 0.25]], p=frozenset({1}))
    shown = Table.from_json("t", table.to_json()).shown()
    assert [row[1]["text"] for row in shown["rows"]] == ["<.001", ".250"]
    assert [row[1]["value"] for row in shown["rows"]] == [0.00004, 0.25]
    assert shown["columns"][1] == {"name": "p", "number": True}
    assert "| a | <.001 |" in table.to_markdown()
    assert table.to_csv() == "name,p\na,4e-05\nb,0.25\n"


def test_a_table_is_read_as_it_was_written() -> None:
    rows = [["a", 0.5, 3], ["b", None, 1200]]
    table = Table("t", "Caption", ["name", "x", "n"], rows, ["note"], 2, frozenset({(0, 1)}), {(1, 2): "+ p=.003"})
    read = Table.from_json("t", table.to_json())
    assert read.shown() == table.shown()
    assert table.shown()["rows"][1][2] == {"text": "1,200", "value": 1200, "mark": "+ p=.003", "bold": False}
    old = json.dumps({"caption": "Old", "rows": [{"name": "a", "x": 0.25}], "notes": []})
    assert Table.from_json("o", old).shown()["rows"][0][1]["text"] == ".250"
