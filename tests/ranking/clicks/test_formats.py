"""Reading in general, the form of Yandex, and tables: golden files that the test writes, and the real samples."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import InputError, NotFoundError, RecordError
from ranking.clicks.codes import sessions
from ranking.clicks.formats import yandex
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page
from ranking.clicks.reading import Reading, ReadReport, guess, read_log
from ranking.clicks.sessions import Vocabulary, joined
from tests.ranking.clicks.logs import a_page, after, logged, rows

YANDEX = "q1\td1,d2,d3 : d2 , d1; q1\td1,d2,d3 :;\nq2\td9 : d9 , d9, d7; bad one; q2\t d9 :\n"


def read(path: Path, format: str | None = None, **options: object) -> tuple[list[Page], ReadReport]:
    report = ReadReport()
    return rows(read_log(path, format, report=report, **options)), report  # type: ignore[arg-type]


def test_yandex_entries_become_pages_with_their_clicks_in_order(tmp_path: Path) -> None:
    path = tmp_path / "sample"
    path.write_text(YANDEX)
    pages, report = read(path)
    assert [(page.query, list(page.documents)) for page in pages] == [
        ("q1", ["d1", "d2", "d3"]),
        ("q1", ["d1", "d2", "d3"]),
        ("q2", ["d9"]),
        ("q2", ["d9"]),
    ]
    assert [[(event.document, event.rank) for event in page.events] for page in pages] == [
        [("d2", 2), ("d1", 1)],
        [],
        [("d9", 1), ("d9", 1), ("d7", None)],
        [],
    ]
    assert len({page.query_id for page in pages}) == 4
    assert report.skipped == 1
    assert ":2: an entry has no query" in report.errors[0].message


def test_a_bad_record_stops_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "sample"
    path.write_text(YANDEX)
    with pytest.raises(RecordError, match="sample:2"):
        read(path, on_error="stop")


@given(data=st.data(), size=st.integers(1, 40))
@settings(max_examples=30)
def test_yandex_is_read_alike_whatever_the_blocks(data: st.DataObject, size: int) -> None:
    names = st.text("abc1", min_size=1, max_size=4)
    made = data.draw(st.lists(st.tuples(names, st.lists(names, min_size=1, max_size=5), st.lists(names, max_size=3))))
    ends = data.draw(st.lists(st.sampled_from([";", ";\n", "\n"]), min_size=len(made), max_size=len(made)))
    text = "".join(f"{q}\t{','.join(d)} : {' , '.join(c)}{end}" for (q, d, c), end in zip(made, ends, strict=True))

    class Blocks(Reading):
        def chunks(self, file: object, _: int = 0) -> object:  # type: ignore[override]
            raw = text.encode()
            yield from (raw[at : at + size] for at in range(0, len(raw), size))

    found = list(yandex.read([Path(__file__)], Blocks("stop", ReadReport(), {})))
    assert [(page.query, list(page.documents), [event.document for event in page.events]) for page in found] == made


def test_a_truncated_gzip_gives_what_it_has_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "sample.gz"
    entries = "".join(f"q{number}\t{number},2,3 : {number};\n" for number in range(5000))
    whole = gzip.compress(entries.encode())
    path.write_bytes(whole[: len(whole) // 2])
    pages, report = read(path, "yandex")
    assert 0 < len(pages) < 5000
    assert [page.query for page in pages] == [f"q{number}" for number in range(len(pages))]
    assert report.counts["files that break off"] == 1
    assert "breaks off here" in report.errors[0].message
    with pytest.raises(RecordError, match="breaks off"):
        read(path, "yandex", on_error="stop")


def test_the_real_yandex_sample(data: Path) -> None:
    folder = data / "clicks" / "yandex"
    for name, expected in (("trainSample", 35_064), ("testSample", 21_413)):
        pages, report = read(folder / name)
        assert (len(pages), report.skipped) == (expected, 0)
        assert {len(page.documents) for page in pages} == {10}
        assert len({page.query for page in pages}) == 20


TABLE = {
    "page_id": ["b", "a", "b", "a", "a"],
    "query": ["y", "x", "y", "x", "x"],
    "doc_id": [4, 2, 5, 1, 3],
    "position": [1, 1, 0, 0, 3],
    "click": [True, False, False, None, True],
    "dwell_ms": [700, None, None, None, 9],
    "propensity": [0.5, 0.25, 0.5, None, 1.0],
    "timestamp": [1_700_000_000] * 5,
    "user_id": ["u", "v", "u", "v", "v"],
}


def test_rows_of_a_table_become_pages_in_whatever_order(tmp_path: Path) -> None:
    pq.write_table(pa.table(TABLE), tmp_path / "log.parquet")
    pages, report = read(tmp_path / "log.parquet")
    found = {page.query_id: page for page in pages}
    assert (found["a"].query, list(found["a"].documents), list(found["a"].ranks)) == ("x", ["1", "2", "3"], [1, 2, 4])
    assert [(event.document, event.rank) for event in found["a"].events] == [("3", 4)]
    assert found["a"].propensities is None  # of one document it is not known
    assert found["b"].propensities == [0.5, 0.5]
    assert (found["b"].events[0].dwell_ms, found["b"].client) == (700, "u")
    assert found["b"].time is not None
    assert found["b"].time.year == 2023
    assert report.notes == ["Ranks count from 0 (the lowest is 0)."]


def test_a_csv_without_ranks_or_queries(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("serp,url,clicked\n007,b,0\n007,a,1\n,c,1\n008,a,\n")
    pages, report = read(tmp_path / "log.csv", columns={"query_id": "serp"})
    assert [(page.query, list(page.documents), list(page.ranks)) for page in pages] == [
        ("007", ["b", "a"], [1, 2]),
        ("008", ["a"], [1]),
    ]
    assert [event.document for event in pages[0].events] == ["a"]
    assert report.counts["rows without a page or a document"] == 1


def test_the_time_of_a_page_is_the_earliest_of_its_rows(tmp_path: Path) -> None:
    lines = [
        "page,document,rank,click,time",
        "p,a,1,1,2026-01-01T00:00:09Z",
        "p,b,2,0,2026-01-01T00:00:02Z",
        "q,a,1,0,",
    ]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    (first, second), _ = read(tmp_path / "log.csv")
    assert [page and page.isoformat() for page in (first.time, second.time, first.events[0].time)] == [
        "2026-01-01T00:00:02+00:00",
        None,
        "2026-01-01T00:00:09+00:00",
    ]


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("page,when\n1,2\n", {}, "no column for the document"),
        ("page,document\n1,2\n", {"columns": {"document": "url"}}, "no column url"),
        ("page,document\n1,2\n", {"columns": {"price": "page"}}, "no role price"),
        ("page,document,click\n1,2,maybe\n", {}, "not usable as click"),
        ("page,document\n1,2\n", {"ordinal_base": 0}, "has no option ordinal_base"),
    ],
)
def test_tables_that_do_not_fit_say_why(tmp_path: Path, text: str, options: dict[str, object], reason: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InputError, match=reason):
        read(tmp_path / "log.csv", **options)


def test_our_own_log_is_a_format_too(tmp_path: Path) -> None:
    made = [a_page(number, clicks=[1, 2]) for number in range(9)]
    log = logged(tmp_path / "log", made)
    pages, report = read(log.path)
    assert {page.query_id for page in pages} == {page.query_id for page in made}
    assert report.events == 18


@given(
    made=st.lists(
        st.tuples(
            st.sampled_from(["x", "y", "z"]),
            st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True),
            st.sets(st.integers(0, 4)),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=20)
def test_converting_and_reading_gives_the_same_pages_and_sessions(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, list[str], set[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    pages = [
        Page(
            f"p{number}",
            query,
            shown,
            events=[Event(shown[at]) for at in clicks if at < len(shown)],
            time=after(number),
        )
        for number, (query, shown, clicks) in enumerate(made)
    ]
    table = [
        {"page": page.query_id, "query": page.query, "document": document, "rank": rank,
         "click": any(event.document == document for event in page.events), "time": page.time}
        for page in pages
        for rank, document in enumerate(page.documents, 1)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(table), folder / "flat.parquet")
    written = ClickLog.write(folder / "log", read_log(folder / "flat.parquet"))
    back = rows(written.pages(3))
    assert [(page.query_id, page.query, page.documents, page.ranks, page.time) for page in back] == [
        (page.query_id, page.query, list(page.documents), list(range(1, len(page.documents) + 1)), page.time)
        for page in pages
    ]
    vocabulary = Vocabulary()
    arrays = joined(sessions(written, vocabulary, batch=4))
    names = vocabulary.pairs
    for row, (page, (_, shown, clicks)) in enumerate(zip(pages, made, strict=True)):
        codes = arrays.pair[row][arrays.shown[row]].tolist()
        assert [names[code] for code in codes] == [(page.query, document) for document in shown]
        assert set(arrays.clicks[row].nonzero()[0].tolist()) == {at for at in clicks if at < len(shown)}


def test_formats_are_guessed_or_asked_for(tmp_path: Path) -> None:
    for name, text, expected in (
        ("a.parquet", "", "parquet"),
        ("a.tsv.gz", "", "parquet"),
        ("a.ndjson", "", "ubi"),
        ("part-00000", "12\t3\x014\t5\n", "baidu"),
        ("sample", "q\td,e : d;", "yandex"),
    ):
        (tmp_path / name).write_text(text)
        assert guess(tmp_path / name) == expected
    (tmp_path / "what").write_text("hello\n")
    with pytest.raises(InputError, match="--format"):
        guess(tmp_path / "what")
    with pytest.raises(InputError, match="no format xml"):
        read(tmp_path / "what", "xml")
    with pytest.raises(NotFoundError):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no page that can be read as yandex.*first bad record"):
        read(tmp_path / "what", "yandex")
