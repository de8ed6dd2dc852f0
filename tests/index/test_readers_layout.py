"""What makes values a document: roles of columns, fields, and every bad record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from index.errors import InputError
from index.readers.layout import Layout
from index.readers.records import BadRecord
from index.types import Document


def document(values: Mapping[str, object], columns: dict[str, str] | None = None) -> Document:
    return Layout(columns).document(values)[0]


def test_beir_and_pyserini_records() -> None:
    beir = {"_id": "a", "title": "T", "text": "x", "metadata": {"year": 2020, "tags": ["p", "q"]}}
    assert document(beir) == Document("a", "T", "x", {"year": 2020, "tags": ("p", "q")})
    pyserini = {"id": 7, "contents": "x", "lang": "en", "score": 0.5, "new": True, "vector": {"a": 1}, "dense": [0.1]}
    assert document(pyserini) == Document("7", "", "x", {"lang": "en", "score": 0.5, "new": True})


def test_metadata_is_flattened_by_one_level() -> None:
    assert document({"_id": "a", "text": "", "metadata": {"author": {"name": "N", "born": 1970}}}).fields == {
        "author.name": "N",
        "author.born": 1970,
    }
    with pytest.raises(BadRecord, match=r"its field author\.name is an object"):
        document({"_id": "a", "text": "", "metadata": {"author": {"name": {"first": "N"}}}})


def test_null_and_the_empty_list_are_no_value() -> None:
    values: dict[str, object] = {
        "_id": "a",
        "title": None,
        "text": "x",
        "lang": None,
        "metadata": {"tags": [], "n": None, "e": ""},
    }
    assert document(values) == Document("a", "", "x", {"e": ""})
    assert document({"_id": "a", "text": "x", "metadata": None}).fields == {}


def test_a_mapping_chooses_joins_converts_and_leaves_out() -> None:
    columns = {"id": "docno", "title": "head", "text": "lead+body", "year": "pub:number", "zip": "z:keyword", "raw": ""}
    values = {
        "docno": "a", "head": "H", "lead": "L", "body": "B", "pub": "2020", "z": 1234, "raw": "r", "more": "m",
    }  # fmt: skip
    assert document(values, columns) == Document("a", "H", "L\nB", {"year": 2020, "zip": "1234", "more": "m"})


def test_columns_with_odd_names() -> None:
    assert document({"a+b": "x", "id": "1"}, {"text": "a+b"}).text == "x"
    assert document({"dc:title": "x", "id": "1", "text": ""}, {"name": "dc:title"}).fields == {"name": "x"}
    assert document({"id": "1", "title": "x", "text": "y"}, {"title": ""}) == Document("1", "", "y", {"title": "x"})


def test_one_column_may_serve_twice() -> None:
    values = {"id": "1", "title": "T", "body": "B", "kind": "k"}
    assert document(values, {"text": "title+body", "k": "kind"}) == Document("1", "T", "T\nB", {"k": "k"})


def test_a_mapping_without_sense_is_an_input_error() -> None:
    with pytest.raises(InputError, match="id"):
        Layout({"id": ""})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"text": "x"}, "it has no id: _id or id"),
        ({"_id": None, "text": "x"}, "it has no id"),
        ({"_id": "", "text": "x"}, "its id is empty"),
        ({"_id": " \t", "text": "x"}, "its id is empty"),
        ({"_id": "x" * 513, "text": "x"}, "the id has 513 characters"),
        ({"_id": "a\nb", "text": "x"}, "the id holds a control character"),
        ({"_id": "a\0", "text": "x"}, "the id holds a control character"),
        ({"_id": "a\x85", "text": "x"}, "the id holds a control character"),
        ({"_id": "a\ud800", "text": "x"}, "surrogate"),
        ({"_id": True, "text": "x"}, "its id is a boolean"),
        ({"_id": 1.5, "text": "x"}, "its id is a number"),
        ({"_id": ["a"], "text": "x"}, "its id is a list"),
        ({"_id": "a"}, "it has no text: text or contents"),
        ({"_id": "a", "text": {}}, "its text is an object"),
        ({"_id": "a", "text": True}, "its text is a boolean"),
        ({"_id": "a", "text": "x", "title": ["t"]}, "its title is a list"),
        ({"_id": "a", "text": "x", "n": float("nan")}, "its field n is NaN"),
        ({"_id": "a", "text": "x", "metadata": {"n": float("inf")}}, "its field n is infinite"),
        ({"_id": "a", "text": "x", "n": 2**63}, "its field n does not fit into 64 bits"),
        ({"_id": "a", "text": "x", "metadata": {"n": [1, 2]}}, "its field n is a list of other things"),
        ({"_id": "a", "text": "x", "n": "é" * 16_384}, "its field n is longer than 32,766 bytes"),
        ({"_id": "a", "text": "x", "": 1}, "'' is no name for a field"),
        ({"_id": "a", "text": "x", "a\0": 1}, "is no name for a field"),
    ],
)
def test_bad_records(values: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        document(values)


def test_a_record_without_the_mapped_text_names_it() -> None:
    with pytest.raises(BadRecord, match=r"it has no text: lead\+body is missing"):
        document({"id": "1"}, {"text": "lead+body"})


def test_a_value_that_does_not_convert_is_a_bad_record() -> None:
    with pytest.raises(BadRecord, match="its field year is no number: 'soon'"):
        document({"id": "1", "text": "", "year": "soon"}, {"year": "year:number"})
    with pytest.raises(BadRecord, match="its field year is NaN"):
        document({"id": "1", "text": "", "year": "nan"}, {"year": "year:number"})


def test_limits_are_within() -> None:
    assert document({"_id": "x" * 512, "text": "x", "n": 2**63 - 1, "k": "é" * 16_383}).fields["n"] == 2**63 - 1


@pytest.mark.parametrize(
    ("names", "columns", "missing"),
    [
        (["a", "b"], {}, "no column id;"),
        (["id", "b"], {}, "no column text;"),
        (["id", "text"], {"id": "docno"}, "no column docno;"),
        (["id", "lead"], {"text": "lead+body"}, "no column body;"),
        (["id", "text"], {"year": "published:number"}, "no column published;"),
    ],
)
def test_a_table_without_the_columns_says_which_it_has(names: list[str], columns: dict[str, str], missing: str) -> None:
    with pytest.raises(InputError, match=missing) as caught:
        Layout(columns).check(names, Path("x.csv"))
    assert f"its columns are {', '.join(names)}" in caught.value.message


def test_a_table_may_have_titles_alone() -> None:
    Layout().check(["id", "title"], Path("x.csv"))
    Layout({"text": ""}).check(["id", "title"], Path("x.csv"))
