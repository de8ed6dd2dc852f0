"""From a source to documents: finding files, bad records, duplicates, broken files, and what the report counts."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import InputError, NotFoundError, RecordError
from index.readers import ReadReport, read_documents
from index.readers import seen as seen_module
from index.readers.seen import SeenIds
from index.types import Document


def write_lines(path: Path, *lines: str | Mapping[str, object]) -> Path:
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def ids(source: Path, **options: object) -> list[str]:
    return [document.id for document in read_documents(source, **options)]  # type: ignore[arg-type]


characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
documents = st.builds(
    Document,
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(str.strip),
    st.text(characters, max_size=40),
    st.text(characters, max_size=200),
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12),
        st.text(characters, max_size=20)
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.booleans()
        | st.lists(st.text(characters, max_size=8), min_size=1, max_size=3).map(tuple),
        max_size=4,
    ),
)


@settings(deadline=None)
@given(st.lists(documents, unique_by=lambda document: document.id, max_size=8), st.sampled_from(["", ".gz", ".zst"]))
def test_jsonl_round_trip(tmp_path_factory: pytest.TempPathFactory, written: list[Document], ending: str) -> None:
    lines = "".join(
        json.dumps({"_id": d.id, "title": d.title, "text": d.text, "metadata": dict(d.fields)}) + "\n" for d in written
    ).encode()
    compressors: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
    path = tmp_path_factory.getbasetemp() / f"round-trip.jsonl{ending}"
    path.write_bytes(compressors[ending](lines))
    report = ReadReport()
    assert list(read_documents(path, report=report)) == written
    assert report == ReadReport(read=len(written))


def test_a_missing_source_names_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        read_documents(tmp_path / "nowhere.jsonl")
    with pytest.raises(NotFoundError):
        read_documents("")


def test_an_unknown_ending_lists_the_formats(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "notes.docx", "x")
    with pytest.raises(InputError, match=r"jsonl .*parquet .*trec .*tsv .*csv"):
        read_documents(path)
    with pytest.raises(InputError, match="There is no format docx"):
        read_documents(path, format="docx")
    with pytest.raises(InputError, match="ignore"):
        read_documents(path, on_error="ignore")  # type: ignore[arg-type]


def test_the_format_can_be_given(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "notes.docx", {"id": "a", "contents": "x"})
    assert ids(path, format="pyserini") == ["a"]


def test_an_empty_corpus_is_no_error(tmp_path: Path) -> None:
    for name in ("empty.jsonl", "empty.tsv", "empty.csv", "empty.trec"):
        assert ids(write_lines(tmp_path / name)) == []
    (tmp_path / "empty.jsonl.gz").write_bytes(gzip.compress(b""))
    assert ids(tmp_path / "empty.jsonl.gz") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_an_input_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "secret.jsonl", {"id": "a", "contents": "x"})
    path.chmod(0)
    with pytest.raises(InputError, match="Permission"):
        ids(path)


def test_a_folder_is_read_in_order_and_recursively(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    write_lines(tmp_path / "b" / "two.jsonl", {"id": "2", "contents": "x"})
    write_lines(tmp_path / "a.tsv", "id\ttext", "1\tx")
    write_lines(tmp_path / "c.jsonl", {"id": "3", "contents": "x"})
    write_lines(tmp_path / "README.md", "not a document")
    write_lines(tmp_path / ".hidden.jsonl", "not JSON")
    write_lines(tmp_path / ".git" / "x.jsonl", "not JSON")
    assert ids(tmp_path) == ["1", "2", "3"]
    assert ids(tmp_path, format="jsonl") == ["2", "3"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_of_a_beir_folder_only_the_corpus_is_read(tmp_path: Path, ending: str) -> None:
    (tmp_path / "qrels").mkdir()
    write_lines(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", "q1\ta\t1")
    write_lines(tmp_path / "queries.jsonl", {"_id": "q1", "text": "x"})
    corpus = json.dumps({"_id": "a", "title": "", "text": "x"}).encode()
    (tmp_path / f"corpus.jsonl{ending}").write_bytes(gzip.compress(corpus) if ending else corpus)
    assert ids(tmp_path) == ["a"]


def test_a_folder_without_readable_files_names_the_endings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no files"):
        read_documents(tmp_path)
    write_lines(tmp_path / "LA010189", "<DOC>", "<DOCNO> LA-1 </DOCNO>", "<TEXT>x</TEXT>", "</DOC>")
    write_lines(tmp_path / "picture.png", "x")
    with pytest.raises(InputError, match=r"unknown endings: \.png, LA010189"):
        read_documents(tmp_path)
    (tmp_path / "picture.png").unlink()
    assert ids(tmp_path, format="trec") == ["LA-1"]


def test_a_bad_record_names_file_line_and_reason(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "bad.jsonl", {"id": "a", "contents": "x"}, "", "{oops}", {"id": "b", "contents": "y"})
    reading = read_documents(path)
    assert next(reading).id == "a"
    with pytest.raises(RecordError) as caught:
        next(reading)
    assert (caught.value.path, caught.value.line) == (str(path), 3)
    assert "not JSON" in caught.value.reason
    report = ReadReport()
    assert ids(path, on_error="skip", report=report) == ["a", "b"]
    assert (report.read, report.skipped, [error.line for error in report.errors]) == (2, 1, [3])


def test_of_many_bad_records_the_first_ten_are_kept(tmp_path: Path) -> None:
    report = ReadReport()
    assert ids(write_lines(tmp_path / "bad.jsonl", *["[]"] * 25), on_error="skip", report=report) == []
    assert report.skipped == 25
    assert [error.line for error in report.errors] == list(range(1, 11))


def test_a_duplicate_id_is_an_error_across_files(tmp_path: Path) -> None:
    write_lines(tmp_path / "1.jsonl", {"id": "a", "contents": "first"}, {"id": "b", "contents": "x"})
    second = write_lines(tmp_path / "2.jsonl", {"id": "c", "contents": "x"}, {"id": "a", "contents": "second"})
    with pytest.raises(RecordError, match="the id a occurs a second time") as caught:
        ids(tmp_path)
    assert (caught.value.path, caught.value.line) == (str(second), 2)
    report = ReadReport()
    kept = list(read_documents(tmp_path, on_error="skip", report=report))
    assert [(d.id, d.text) for d in kept] == [("a", "first"), ("b", "x"), ("c", "x")]
    assert (report.skipped, report.duplicates) == (1, 1)


@settings(deadline=None)
@given(st.lists(st.text("ab", max_size=6)))
def test_seen_ids_is_a_set(identifiers: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_module, "RECENT", 4)  # merges often
        seen, expected = SeenIds(), set[str]()
        for identifier in identifiers:
            assert seen.add(identifier) == (identifier not in expected)
            expected.add(identifier)


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_a_truncated_file_breaks_at_its_line(tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
    lines = [json.dumps({"id": str(i), "contents": os.urandom(400).hex()}) for i in range(500)]
    whole = compress("\n".join(lines).encode())
    (tmp_path / f"1.jsonl{ending}").write_bytes(whole[: len(whole) // 2])
    write_lines(tmp_path / "2.jsonl", {"id": "last", "contents": "x"})
    with pytest.raises(RecordError, match="breaks off here") as caught:
        ids(tmp_path)
    report = ReadReport()
    found = ids(tmp_path, on_error="skip", report=report)
    assert found == [*map(str, range(len(found) - 1)), "last"]
    assert 100 < len(found) < 400
    assert report.skipped == 1
    assert report.errors[0].line == caught.value.line == len(found)


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst", "x.parquet", "x.parquet.gz"])
@pytest.mark.parametrize("content", [b"", b"this is nothing of the kind"])
def test_a_file_that_is_not_what_its_ending_says_breaks_at_once(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError, match="breaks off here") as caught:
        ids(tmp_path / name)
    assert caught.value.line == 1


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.readers.files.MAX_LINE", 1000)
    path = write_lines(tmp_path / "x.jsonl", {"id": "a", "contents": "x"}, {"id": "b", "contents": "x" * 1000})
    with pytest.raises(RecordError, match="longer than") as caught:
        ids(path)
    assert caught.value.line == 2


def test_a_document_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    text = "retrieval é " * 900_000
    path = write_lines(tmp_path / "x.jsonl", {"id": "a", "contents": text})
    (document,) = read_documents(path)
    assert document.text == text


def test_text_is_mended_and_counted(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "x.jsonl",
        {"id": "a", "contents": "nul \0 here", "kind": "k\0"},
        '{"id": "b", "contents": "lone \\ud800 surrogate, whole \\ud83d\\ude00"}',
        '{"id": "c", "contents": "latin \udce9"}',  # the byte E9, which is no UTF-8
        {"id": "d", "contents": "fine é \ufffd"},
    )
    report = ReadReport()
    read = list(read_documents(path, report=report))
    assert [d.text for d in read] == [
        "nul \ufffd here",
        "lone \ufffd surrogate, whole 😀",
        "latin \ufffd",
        "fine é \ufffd",
    ]
    assert read[0].fields == {"kind": "k\ufffd"}
    assert report.mended == 3


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text\n1,x\n")
    assert ids(path) == ["1"]


def test_the_collections_at_hand_are_read() -> None:
    corpus = Path(os.environ.get("CLICKWISE_DATA", "../shared/data")) / "collections" / "nfcorpus"
    if not corpus.exists():
        pytest.skip(f"{corpus} is absent")
    report = ReadReport()
    found = {document.id: document for document in read_documents(corpus, report=report)}
    assert (report.read, report.skipped) == (3633, 0)
    assert found["MED-10"].title.startswith("Statin Use and Breast Cancer Survival")
    assert str(found["MED-10"].fields["url"]).startswith("http")
