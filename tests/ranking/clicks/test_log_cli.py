"""`clickwise clicks convert, inspect, clean, synthetic, judgements`, as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranking.clicks import cli as clicks
from ranking.clicks.log import ClickLog
from server import cli
from tests.ranking.clicks.logs import a_page, logged

YANDEX = "q1\td1,d2 : d2 , d2; q1\td2,d1 : d2; q2\td3 :; bad;"


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert cli.run(["clicks", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_the_help_lists_the_commands_that_are_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clicks.COMMANDS, "later", "ranking.clicks.later_cli")
    shown = run(capsys, "--help")
    assert "  convert " in shown
    assert "  inspect " in shown
    assert "later" not in shown
    assert "No such command" in run(capsys, "later", code=2)


def test_from_a_foreign_log_to_a_clean_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, log, out = tmp_path / "sample", tmp_path / "log", tmp_path / "clean"
    source.write_text(YANDEX)
    shown = run(capsys, "convert", source, log)
    assert "3  pages" in shown
    assert "1  bad records, skipped" in shown
    shown = run(capsys, "inspect", log)
    assert "   1         3         1   33.3%  ###" in shown
    assert "1  clicks on a document that its page had a click on, dropped" in shown
    assert "Note: Pages have from 1 to 2 documents" in shown
    assert "2  clicks kept" in run(capsys, "clean", log, out)
    assert ClickLog.open(out).count("events") == 2


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, log, out = tmp_path / "sample", tmp_path / "log", tmp_path / "clean"
    source.write_text(YANDEX)
    made = json.loads(run(capsys, "convert", source, log, "--format", "yandex", "--json"))
    assert (made["pages"], made["events"], made["skipped"]) == (3, 3, 1)
    seen = json.loads(run(capsys, "inspect", log, "--json"))
    assert (seen["queries"], seen["shown"], seen["clicked"]) == (2, [3, 2], [1, 1])
    assert seen["hygiene"]["duplicates"] == 1
    assert json.loads(run(capsys, "clean", log, out, "--json"))["clicks_kept"] == 2


def test_the_rules_are_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [a_page(number * 3600, clicks=[1, 1, 1], client="a bot") for number in range(6)]
    log = logged(tmp_path / "log", pages).path
    assert "0  pages kept" in run(capsys, "clean", log, tmp_path / "1")
    assert "6  pages kept" in run(capsys, "clean", log, tmp_path / "2", "--keep-named-bots")
    flags = ["--keep-named-bots", "--max-client-pages", 2, "--quarantine", 4]
    assert "2  pages kept" in run(capsys, "clean", log, tmp_path / "3", *flags)
    assert "0  pages kept" in run(capsys, "clean", log, tmp_path / "4", "--keep-named-bots", "--max-page-clicks", 2)


def test_made_up_baidu_files_go_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "synthetic", tmp_path / "raw", "--sessions", 200, "--queries", 20)
    shown = run(capsys, "convert", tmp_path / "raw", tmp_path / "log")
    assert "documents without a title" in shown
    run(capsys, "judgements", tmp_path / "raw-annotations.txt", tmp_path / "qrels.tsv")
    head, first, *_ = (tmp_path / "qrels.tsv").read_text().splitlines()
    assert head == "query-id\tcorpus-id\tscore\tbucket"
    judged = {line.split("\t")[1] for line in (tmp_path / "qrels.tsv").read_text().splitlines()[1:]}
    shown_documents = {
        name for pages in ClickLog.open(tmp_path / "log").pages() for name in pages.documents.to_pylist()
    }
    assert shown_documents <= judged
    assert len(first.split("\t")) == 4
    assert "is not empty" in run(capsys, "synthetic", tmp_path / "raw", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "{}/nowhere", "{}/log"], "There is no file or folder"),
        (["convert", "{}/sample", "{}/log", "--format", "xml"], "There is no format xml"),
        (["convert", "{}/sample", "{}/log", "--on-error", "cry"], "no way cry"),
        (["convert", "{}/sample", "{}/log", "--column", "rank"], "gives no role its column"),
        (["convert", "{}/sample", "{}/log", "--column", "rank=pos"], "has no option columns"),
        (["convert", "{}/sample", "{}/log", "--on-error", "stop"], "sample:1: an entry has no query"),
        (["convert", "{}/sample", "{}/there"], "There is a click log at"),
        (["inspect", "{}/nowhere"], "There is no click log at"),
        (["clean", "{}/there", "{}/there"], "cannot be cleaned into itself"),
        (["clean", "{}/there", "{}/new", "--quarantine", "-1"], "cannot be negative"),
        (["judgements", "{}/nowhere", "{}/qrels"], "There is no file"),
    ],
)
def test_what_does_not_fit_is_one_line_with_a_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "sample").write_text(YANDEX)
    logged(tmp_path / "there", [a_page(1)])
    shown = run(capsys, *[each.format(tmp_path) for each in arguments], code=2)
    assert shown.startswith("clickwise: ")
    assert message in shown
    assert shown.count("\n") == 1
