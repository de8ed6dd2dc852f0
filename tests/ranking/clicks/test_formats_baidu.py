"""Baidu-ULTR: a golden file with everything that real ones have, and made-up parts of which the truth is known."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from index.errors import InputError
from ranking.clicks.baidu_synthetic import Oddities, Synthetic
from ranking.clicks.codes import sessions
from ranking.clicks.formats.baidu import COLUMNS, MISSING_TITLE, OTHERS_SEARCHED, queries, text_id
from ranking.clicks.formats.baidu_annotations import read_annotations
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Page
from ranking.clicks.reading import Reading, ReadReport, read_log
from ranking.clicks.sessions import Vocabulary, joined
from tests.ranking.clicks.logs import rows


def row(title: bytes, **cells: bytes) -> bytes:
    """A document line of 32 columns; `c5=b"1"` sets column 5."""
    columns = {0: b"1", 1: b"md5", 2: title, 3: b"77\x0178", 4: b"3"}
    columns |= {int(name[1:]): value for name, value in cells.items()}
    return b"\t".join(columns.get(place, b"0") for place in range(COLUMNS)) + b"\n"


GOLDEN = b"".join(
    [
        b"5\t11\x0112\t13\n",
        row(b"1\x012", c0=b"1", c4=b"-"),
        row(OTHERS_SEARCHED, c0=b"2"),  # takes no rank
        row(MISSING_TITLE, c0=b"2", c5=b"1"),  # takes a rank
        row(b"3", c0=b"3", c5=b"1", c16=b"12.5", c25=b"2", c28=b"1"),
        row(b"4", c0=b"9", c16=b"-"),  # a position not to be trusted
        row(b"5", c0=b"5"),
        row(b"6", c0=b"6", c5=b"1", c16=b""),
        b"5\t99\n",  # two columns, and a number that came before with another text
        *(row(str(title).encode(), c0=str(title).encode()) for title in range(1, 6)),
        b"6\t11\x0112\t\n",  # the first query's text under another number
        *(row(str(title).encode(), c0=str(title).encode()) for title in range(1, 6)),
        b"7\t50\t51\n",
        row(b"1"),  # too few documents
    ]
)


def read(path: Path, **options: object) -> tuple[list[Page], ReadReport]:
    report = ReadReport()
    return rows(read_log(path, "baidu", report=report, **options)), report  # type: ignore[arg-type]


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    path = tmp_path / "part-00000.gz"
    path.write_bytes(gzip.compress(GOLDEN))
    return path


def test_the_golden_file(golden: Path) -> None:
    pages, report = read(golden)
    first = pages[0]
    assert [page.query for page in pages] == ["11 12", "99", "11 12"]
    assert list(first.ranks) == [1, 3, 4, 5, 6]  # the missing document was at rank 2
    assert first.documents[0] == text_id(b"1\x012", b"77\x0178")
    assert [(event.kind, event.rank, event.dwell_ms) for event in first.events] == [
        ("click", 3, 12_500),
        ("last_click", 3, None),
        ("click", 6, None),
    ]
    assert len({page.query_id for page in pages}) == 3
    assert dict(report.counts) == {
        'rows "what others searched"': 1,
        "documents without a title": 1,
        "clicks on documents without a title": 1,
        "positions that differ from the count": 1,
        "query lines of 2 columns": 1,
        "queries with fewer than 5 documents": 1,
    }


def test_pages_of_one_text_are_of_one_query_whatever_its_number(golden: Path) -> None:
    vocabulary = Vocabulary()
    arrays = joined(sessions(read_log(golden), vocabulary))
    assert arrays.query.tolist() == [0, 1, 0]
    assert vocabulary.queries == ["11 12", "99"]
    assert arrays.pair[0, 1] == -1
    assert arrays.clicks[0].tolist() == [False, False, True, False, False, True]


def test_all_that_a_row_holds_is_there(golden: Path) -> None:
    (first, *_) = queries(golden, Reading("stop", ReadReport(), {}))
    assert (first.number, first.query, first.reformulation) == (b"5", b"11\x0112", b"13")
    assert [shown.media_type for shown in first.shown] == [0, 3, 3, 3, 3]
    assert [shown.position for shown in first.shown] == [1, 3, 9, 5, 6]
    assert (first.shown[1].clicks, first.shown[1].last_click, first.shown[1].final_click) == (2, True, False)


def test_options(golden: Path) -> None:
    pages, _ = read(golden, min_documents=1, document_id="url")
    assert len(pages) == 4
    assert set(pages[0].documents) == {"md5"}
    with pytest.raises(InputError, match="named by its title"):
        read(golden, document_id="title")


def test_lines_of_other_widths_and_texts_for_numbers_are_bad_records(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(
        row(b"1") + b"1\t2\t3\n" + b"\t".join([b"x"] * 9) + b"\n" + row(b"1") + row(b"2", c5=b"yes") + b"8\t\x01\n"
    )
    pages, report = read(path, min_documents=1)
    assert list(pages[0].ranks) == [2]  # the damaged line was on the page, too
    reasons = [error.reason for error in report.errors]
    assert reasons[0].startswith("a document without a query")
    assert reasons[1].startswith("9 columns")
    assert reasons[2].startswith("a value is no number")
    assert reasons[3] == "a query line without the words of the query"


@pytest.mark.parametrize("number", [b"1e999", b"-inf", b"nan"])
def test_a_rank_that_is_not_finite_is_a_bad_record(tmp_path: Path, number: bytes) -> None:
    (tmp_path / "log").write_bytes(b"7\t10\t9\n" + row(b"1", c0=number) + b"".join(row(b"%d" % n) for n in range(2, 8)))
    report = ReadReport()
    assert sum(len(batch) for batch in read_log(tmp_path / "log", "baidu", report=report)) == 1
    assert report.skipped == 1


def test_a_page_in_which_the_file_breaks_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.gz"
    Synthetic(20, seed=3).write_sessions(path, 400)
    whole, _ = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    pages, report = read(path)
    assert 0 < len(pages) < len(whole)
    assert pages == whole[: len(pages)]
    assert report.counts["files that break off"] == report.counts["pages that break off"] == 1


def test_made_up_parts_are_read_as_they_were_made(tmp_path: Path) -> None:
    world = Synthetic(30, 15, seed=5)
    (tmp_path / "parts").mkdir()
    for part in range(2):
        world.write_sessions(tmp_path / "parts" / f"part-{part:05d}.gz", 3000, part)
    report, vocabulary = ReadReport(), Vocabulary()
    log = ClickLog.write(tmp_path / "log", read_log(tmp_path / "parts", report=report))
    arrays = joined(sessions(log, vocabulary))
    assert report.skipped == 0
    assert len(arrays) == 6000
    assert set(vocabulary.queries) <= set(world.query)
    # The clicks are position-based: rate = examination * mean attraction of what was shown at that rank.
    place = {
        (query, document): world.attraction[q, d]
        for q, query in enumerate(world.query)
        for d, document in enumerate(world.document[q])
    }
    attraction = np.array([place[pair] for pair in vocabulary.pairs])
    shown = arrays.shown
    expected = np.where(shown, attraction[arrays.pair] * world.examination, 0).sum(0) / shown.sum(0)
    rate = arrays.clicks.sum(0) / shown.sum(0)
    assert np.abs(rate - expected).max() < 5 * np.sqrt(0.25 / shown.sum(0).min())


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Synthetic(5, seed=1, oddities=Oddities(missing_title=0.5)).write_sessions(tmp_path / name, 50)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_annotations_name_queries_and_documents_as_the_log_does(tmp_path: Path) -> None:
    world = Synthetic(10, 12, seed=2)
    path = tmp_path / "annotations.txt"
    world.write_annotations(path)
    found = list(read_annotations(path, Reading("stop", ReadReport(), {})))
    assert len(found) == 120
    assert {(each.query, each.document): each.grade for each in found} == {
        (world.query[q], world.document[q][d]): world.grade[q, d] for q in range(10) for d in range(12)
    }
    assert {each.frequency for each in found} <= {"high", "mid", "tail"}


def test_annotations_of_five_columns_and_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "annotations.txt"
    path.write_bytes(b"1\x012\t3\t4\t2\t0\n\n9\t1\t3\t4\t7\t1\n9\t1\t3\n5\t1\t3\t4\t0\t9\n")
    report = ReadReport()
    found = list(read_annotations(path, Reading("skip", report, {})))
    assert [(each.query, each.grade, each.bucket, each.frequency) for each in found] == [
        ("1 2", 2, 0, "high"),
        ("1", 0, 9, "tail"),
    ]
    assert report.skipped == 2
