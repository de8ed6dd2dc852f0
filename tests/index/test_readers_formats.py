"""Every format, plain and compressed, with real files."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from index.errors import InputError, NotFoundError, RecordError, UnavailableError
from index.readers import FORMATS, ReadReport, read_documents
from index.readers import irds as irds_module
from index.readers.layout import Layout
from index.readers.records import Record
from index.readers.registry import TEXT, format_of
from index.types import Document


def read(path: Path, **columns: str) -> list[Document]:
    return list(read_documents(path, columns=columns))


def parquet_bytes(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


SAMPLES = {
    ".jsonl": b'{"_id": "a", "title": "T", "text": "one"}\n{"id": "b", "contents": "two"}\n',
    ".parquet": parquet_bytes(id=["a", "b"], title=["T", None], text=["one", "two"]),
    ".trec": b"<DOC><DOCNO>a</DOCNO><TITLE>T</TITLE><TEXT>one</TEXT></DOC><DOC><DOCNO>b</DOCNO><TEXT>two</TEXT></DOC>",
    ".tsv": b"id\ttitle\ttext\na\tT\tone\nb\t\ttwo\n",
    ".csv": b"id,title,text\r\na,T,one\r\nb,,two\r\n",
}


@pytest.mark.parametrize("ending", SAMPLES)
@pytest.mark.parametrize(
    ("wrapping", "compress"),
    [("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress), (".GZ", gzip.compress)],
)
def test_every_format_is_read_plain_and_compressed(
    tmp_path: Path, ending: str, wrapping: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"corpus{ending}{wrapping}"
    path.write_bytes(compress(SAMPLES[ending]))
    assert read(path) == [Document("a", "T", "one"), Document("b", "", "two")]


def test_every_format_has_a_sample() -> None:
    """But for texts, which are documents as they are."""
    assert {format_of(Path(f"x{ending}")) for ending in SAMPLES} == {*FORMATS} - {TEXT}


def test_a_zst_of_two_frames_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv.zst"
    path.write_bytes(zstandard.compress(b"id\ttext\na\tone\n") + zstandard.compress(b"b\ttwo\n"))
    assert [document.id for document in read(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "one JSON object per line is expected, and this is a list"),
        ('{"id": "a"', "not JSON"),
        ('{"id": "a", "contents": "x", "n": NaN}', "NaN"),
        ('{"id": "a", "contents": "x", "n": 1e999}', "infinite"),
        ('{"id": "a", "contents": "x", "n": ' + "9" * 5000 + "}", "not usable JSON"),
        ('{"id": ' + "[" * 100_000, "JSON"),
    ],
)
def test_bad_json(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "x.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(RecordError, match=reason) as caught:
        read(tmp_path / "x.jsonl")
    assert caught.value.line == 2


def test_parquet_types_become_fields(tmp_path: Path) -> None:
    when = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    data = parquet_bytes(
        docno=pa.array([1, 2]),
        lead=pa.array(["L", None], pa.large_string()),
        body=pa.array(["B", "B2"]).dictionary_encode(),
        year=pa.array([2020, None], pa.int16()),
        price=pa.array([decimal.Decimal("1.50"), None]),
        new=pa.array([True, False]),
        day=pa.array([datetime.date(2020, 1, 2), None]),
        at=pa.array([when, None], pa.timestamp("ns", "UTC")),
        tags=pa.array([["p", "q"], []]),
        embedding=pa.array([[0.1], [0.2]]),
        raw=pa.array([b"\xe9", None]),
        metadata=pa.array([{"lang": "en", "seen": datetime.date(2021, 1, 1)}, {"lang": None, "seen": None}]),
    )
    (tmp_path / "x.parquet").write_bytes(data)
    assert read(tmp_path / "x.parquet", id="docno", text="lead+body", published="year") == [
        Document("1", "", "L\nB", {
            "published": 2020, "price": 1.5, "new": True, "day": "2020-01-02", "at": "2020-01-02T03:04:05+00:00",
            "tags": ("p", "q"), "lang": "en", "seen": "2021-01-01",
        }),
        Document("2", "", "B2", {"new": False}),
    ]  # fmt: skip


def test_parquet_batches_rows_and_bad_ones(tmp_path: Path) -> None:
    count = 2000
    scores = [1.0] * count
    scores[1500] = float("nan")
    (tmp_path / "x.parquet").write_bytes(
        parquet_bytes(id=[f"d{i}" for i in range(count)], text=["x"] * count, score=scores)
    )
    with pytest.raises(RecordError, match="its field score is NaN") as caught:
        read(tmp_path / "x.parquet")
    assert caught.value.line == 1501


def test_parquet_text_that_is_no_utf8_is_mended(tmp_path: Path) -> None:
    broken = pa.array([b"caf\xe9"]).cast(pa.string(), safe=False)
    (tmp_path / "x.parquet").write_bytes(parquet_bytes(id=["a"], text=broken))
    assert read(tmp_path / "x.parquet")[0].text == "caf\ufffd"


def test_parquet_without_the_columns(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(parquet_bytes(key=["a"], passage=["x"]))
    with pytest.raises(InputError, match="its columns are key, passage"):
        read(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", id="key", text="passage") == [Document("a", "", "x")]


def test_a_truncated_parquet_breaks(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(SAMPLES[".parquet"][:-20])
    with pytest.raises(RecordError, match="no readable Parquet"):
        read(tmp_path / "x.parquet")


TREC = """<?xml version="1.0"?>
<DOC>
<DOCNO> LA010189-0001 </DOCNO>
<DATE><P>January 1, 1989</P></DATE>
<HEADLINE>
<P>A &amp; B   </P>
</HEADLINE>
<!-- <TEXT>a comment</TEXT> -->
<TEXT>
<P>First <F P=105>paragraph</F>, where 1 < 2.</P>

<P>Second.</P>
</TEXT>
<LEADPARA>Lead.</LEADPARA>
<TEXT>Third.</TEXT>
</DOC>
noise between
<doc><docno>web-1</docno><DOCHDR>http header</DOCHDR>
<html><head><title>Page</title><script>var x = 1;</script></head>
<h1>Hello</h1> world</html></doc><DOC><DOCNO>3</DOCNO></DOC>
"""


def test_trec(tmp_path: Path) -> None:
    (tmp_path / "x.trec").write_text(TREC)
    first, second, third = read(tmp_path / "x.trec")
    assert first == Document("LA010189-0001", "A & B", "First  paragraph , where 1 < 2.\nSecond.\nThird.\nLead.")
    assert (second.id, second.title, second.text.split()) == ("web-1", "Page", ["Hello", "world"])
    assert third == Document("3")


def test_trec_with_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "x.trec").write_text(TREC)
    first, *_ = read(tmp_path / "x.trec", text="leadpara+headline", date="DATE", title="")
    assert first == Document("LA010189-0001", "", "Lead.\nA & B", {"date": "January 1, 1989"})


def test_trec_in_latin_1_is_mended(tmp_path: Path) -> None:
    (tmp_path / "x.sgml").write_bytes("<DOC><DOCNO>1</DOCNO><TEXT>café</TEXT></DOC>".encode("latin-1"))
    report = ReadReport()
    assert [d.text for d in read_documents(tmp_path / "x.sgml", report=report)] == ["caf\ufffd"]
    assert report.mended == 1


def test_trec_that_is_not_well_formed(tmp_path: Path) -> None:
    (tmp_path / "x.trec").write_text(
        "\n<DOC>\n<DOCNO>1</DOCNO>\n<DOC><DOCNO>2</DOCNO><TEXT>x</TEXT></DOC>\n<DOC><TEXT>y</TEXT></DOC>\n<DOC>\n"
    )
    report = ReadReport()
    assert [d.id for d in read_documents(tmp_path / "x.trec", on_error="skip", report=report)] == ["2"]
    assert [(error.line, error.reason.split(":")[0]) for error in report.errors] == [
        (2, "the <DOC> that begins here has no </DOC>"),
        (5, "it has no id"),
        (6, "the <DOC> that begins here has no </DOC>"),
    ]
    (tmp_path / "y.trec").write_text("nothing\n")
    with pytest.raises(RecordError, match="there is no <DOC> in the file"):
        read(tmp_path / "y.trec")


def test_a_trec_document_without_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.readers.trec.MAX_LINE", 1000)
    (tmp_path / "x.trec").write_text("<DOC>\n" + "word\n" * 500 + "<DOC><DOCNO>2</DOCNO></DOC>")
    report = ReadReport()
    assert [d.id for d in read_documents(tmp_path / "x.trec", on_error="skip", report=report)] == ["2"]
    assert "is longer than" in report.errors[0].reason


def test_tsv_has_no_quotes_and_csv_has(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text('id\ttext\na\tsay "hi", "\n')
    assert read(tmp_path / "x.tsv") == [Document("a", "", 'say "hi", "')]
    (tmp_path / "x.csv").write_text('id,text\na,"two\nlines, ""quoted"""\n\nb,x\n')
    assert read(tmp_path / "x.csv") == [Document("a", "", 'two\nlines, "quoted"'), Document("b", "", "x")]
    (tmp_path / "y.csv").write_text('id;text\na;"1;5, 2"\n')
    assert read(tmp_path / "y.csv") == [Document("a", "", "1;5, 2")]


def test_columns_of_numbers_are_number_fields(tmp_path: Path) -> None:
    rows = ["id,text,year,zip,version,score,note", "a,x,2020,01234,3.9,0.5,7", "b,x,,94107,3.10,-2,n/a"]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    assert [document.fields for document in read(tmp_path / "x.csv", year="year:keyword", note="")] == [
        {"year": "2020", "zip": "01234", "version": "3.9", "score": 0.5},
        {"zip": "94107", "version": "3.10", "score": -2},
    ]
    assert read(tmp_path / "x.csv")[0].fields["year"] == 2020


def test_numbers_end_after_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.readers.delimited.SAMPLE_ROWS", 2)
    (tmp_path / "x.tsv").write_text("id\ttext\tn\na\tx\t1\nb\tx\tnan\nc\tx\tmany\nd\tx\t2\n")
    report = ReadReport()
    kept = list(read_documents(tmp_path / "x.tsv", on_error="skip", report=report))
    assert [(d.id, d.fields) for d in kept] == [("a", {"n": 1}), ("d", {"n": 2})]
    assert [(error.line, error.reason) for error in report.errors] == [
        (3, "its field n is NaN"),
        (4, "'many' in the column n, whose first rows hold only numbers"),
    ]


def test_a_table_without_header_is_mapped_by_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("0\tfirst passage\t5\n1\tsecond passage\t6\n")
    assert read(tmp_path / "x.tsv", id="1", text="2") == [
        Document("0", "", "first passage"),
        Document("1", "", "second passage"),
    ]
    assert read(tmp_path / "x.tsv", id="1", text="2", votes="3")[0].fields == {"votes": 5}
    with pytest.raises(InputError, match="its columns are 1, 2, 3"):
        read(tmp_path / "x.tsv", id="1", text="4")
    with pytest.raises(InputError, match="no column id; its columns are 0, first passage, 5"):
        read(tmp_path / "x.tsv")


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("x.tsv", "id\ttext\na\tx\ty\n", 2, "the row has 3 columns where 2 are expected"),
        ("x.csv", "id,text\na\n", 2, "the row has 1 columns where 2 are expected"),
        ("x.csv", 'id,text\na,"one\ntwo\n', 2, "not CSV"),
        ("x.csv", 'id,text\na,"x"\nb,"x"y\n', 3, "not CSV"),
        ("x.csv", "id,text\n,x\n", 2, "its id is empty"),
        ("x.csv", 'id,text\n"a\nb",x\n', 2, "control character"),
    ],
)
def test_bad_rows(tmp_path: Path, name: str, content: str, line: int, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RecordError, match=reason) as caught:
        read(tmp_path / name)
    assert caught.value.line == line


def test_a_header_that_names_a_column_twice(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,text,id\na,x,b\n")
    with pytest.raises(InputError, match="twice"):
        read(tmp_path / "x.csv")


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,text\na," + "word " * 60_000 + "\n")
    assert len(read(tmp_path / "x.csv")[0].text) == 300_000


def test_irds_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(UnavailableError, match=r"clickwise\[irds\]"):
        read_documents("irds:vaswani")


@pytest.fixture
def ir_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path))
    module = pytest.importorskip("ir_datasets", reason="the extra irds is not installed")
    assert isinstance(module, ModuleType)
    return module


def test_irds(ir_datasets: ModuleType, tmp_path: Path) -> None:
    docs = tmp_path / "docs.tsv"
    docs.write_text("d1\tfirst text\nd2\tsecond text\n")
    name = "clickwise-test"
    if name not in ir_datasets.registry:
        ir_datasets.registry.register(name, ir_datasets.create_dataset(docs_tsv=str(docs)))
    assert list(read_documents(f"irds:{name}")) == [Document("d1", "", "first text"), Document("d2", "", "second text")]
    assert [d.id for d in read_documents(name, format="irds")] == ["d1", "d2"]
    with pytest.raises(NotFoundError, match="no-such-dataset"):
        read_documents("irds:no-such-dataset")


class _Article:
    """A document as ir_datasets gives them: named values and a default text."""

    doc_id, title, body, year, url = "a", "On search", "It finds.", 1999, "u" * 300
    tags = ("p", "q")

    def _asdict(self) -> dict[str, object]:
        names = ("doc_id", "title", "body", "year", "url", "tags")
        return {name: getattr(self, name) for name in names}

    def default_text(self) -> str:
        return f"{self.title} {self.body}"


class _Dataset:
    def docs_iter(self) -> list[_Article]:
        return [_Article()]


def test_attributes_of_irds_documents() -> None:
    (record,) = irds_module.read(_Dataset(), "x", Layout())
    assert isinstance(record, Record)
    document, _ = Layout().document(record.values)
    assert document == Document("a", "On search", "It finds.", {"year": 1999, "tags": ("p", "q")})
    mapped = Layout({"text": "body", "link": "url"})
    (record,) = irds_module.read(_Dataset(), "x", mapped)
    assert isinstance(record, Record)
    document, _ = mapped.document(record.values)
    assert document.fields["link"] == "u" * 300


def test_a_folder_of_texts_has_a_document_a_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "sailing.txt").write_text(
        "\n Sailing \n\nThe wind blows.\nThe sea is rough.\n", encoding="utf-8"
    )
    (tmp_path / "coffee.md").write_text("# Coffee\n\nIt is hot.", encoding="utf-8")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "picture.png").touch()
    found = list(read_documents(tmp_path))
    assert [(doc.id, doc.title, doc.text) for doc in found] == [
        ("coffee.md", "Coffee", "It is hot."),
        ("deep/sailing.txt", "Sailing", "The wind blows.\nThe sea is rough."),
        ("empty.txt", "", ""),
    ]
    (tmp_path / "data.jsonl").write_text('{"id": "1", "contents": "x"}\n', encoding="utf-8")
    assert [doc.id for doc in read_documents(tmp_path)] == ["1"]  # the texts tell of it, as a README does
    assert [doc.id for doc in read_documents(tmp_path, format="text")] == ["coffee.md", "deep/sailing.txt", "empty.txt"]


def test_one_text_is_a_document_only_where_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("Title\nText", encoding="utf-8")
    with pytest.raises(InputError, match=r"lines.txt is one text\. Name a folder of texts, or say with --format"):
        read_documents(path)
    (document,) = read_documents(path, format="text")
    assert (document.id, document.title, document.text) == ("lines.txt", "Title", "Text")


def test_trec_text_under_another_ending_is_no_plain_text(tmp_path: Path) -> None:
    (tmp_path / "part1.txt").write_text("<DOC>\n<DOCNO>1</DOCNO>\nx\n</DOC>\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"part1.txt:1: this is TREC text: read it with --format trec"):
        list(read_documents(tmp_path))
    assert [doc.id for doc in read_documents(tmp_path, format="trec")] == ["1"]
