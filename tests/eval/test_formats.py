"""The files of the paper's four collections, in their own formats."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from eval.formats import argsme, beir, cord19, trec, wapo
from index.errors import InputError, NotFoundError
from index.readers import read_documents
from tests.conftest import small_corpus
from tests.eval.made import topics, write_covid, write_news, write_robust, write_touche

FIRST = small_corpus()[0]


def test_trec_sgml(tmp_path: Path) -> None:
    folder = write_robust(tmp_path / "robust")
    documents = list(read_documents(folder / "documents", format="trec"))
    assert [doc.id for doc in documents] == [doc.id for doc in small_corpus()]
    assert documents[0].title == f"FT  {FIRST.title}"
    assert documents[0].text == FIRST.text
    read = trec.read_topics(folder / "topics.txt")
    assert list(read) == list(topics())
    topic = read["coffee-q0"]
    assert topic.title == "coffee-q0 & more"
    assert topic.description == "note on espresso beans"
    assert topic.narrative == "A document about note on espresso beans is relevant."


def test_cord19(tmp_path: Path) -> None:
    folder = write_covid(tmp_path / "covid")
    excluded: Counter[str] = Counter()
    documents = list(cord19.read_documents(folder / "corpus", excluded))
    assert [doc.id for doc in documents] == [doc.id for doc in small_corpus()]
    assert (documents[0].title, documents[0].text) == (FIRST.title, FIRST.text)
    assert excluded == {
        "papers whose cord_uid came before": 1,
        "papers without a cord_uid": 1,
        "papers without title and abstract": 1,
    }
    read = trec.read_topics(folder / "topics.xml")
    assert read["coffee-q0"].title == "coffee-q0"
    assert read["coffee-q0"].description == "note on espresso beans?"
    assert read["coffee-q0"].narrative == "About note on espresso beans <only>"


def test_cord19_with_full_texts(tmp_path: Path) -> None:
    table = write_covid(tmp_path / "covid") / "corpus" / "metadata.csv"
    document = next(iter(cord19.read_documents(table, Counter(), full_text=True)))
    assert document.text == f"{FIRST.text}\n{FIRST.text} In full."


def test_cord19_needs_its_columns(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("id,title\n1,x\n")
    with pytest.raises(InputError, match=r"no column abstract, cord_uid"):
        list(cord19.read_documents(tmp_path, Counter()))


def test_washington_post(tmp_path: Path) -> None:
    folder = write_news(tmp_path / "news")
    excluded: Counter[str] = Counter()
    documents = {doc.id: doc for doc in wapo.read_documents(folder / "articles.jl", excluded)}
    assert documents[FIRST.id].title == FIRST.title
    assert documents[FIRST.id].text == f"{FIRST.text} Q&A"
    assert excluded == {"articles whose id came before": 1}
    assert trec.read_topics(folder / "topics.xml")["coffee-q0"].document == "asked-coffee-q0"


def test_a_line_that_is_no_article(tmp_path: Path) -> None:
    path = tmp_path / "articles.jl"
    path.write_text('{"id": "1", "contents": []}\n{"id": "2"}\n')
    with pytest.raises(InputError, match=r"articles\.jl:2: this is no article"):
        list(wapo.read_documents(path, Counter()))


@pytest.mark.parametrize("chunk", [1, 17, 2**20])
def test_args_me(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(argsme, "CHUNK", chunk)
    folder = write_touche(tmp_path / "touche")
    excluded: Counter[str] = Counter()
    documents = list(argsme.read_documents(folder / "args-me.json", excluded))
    assert [doc.id for doc in documents] == [doc.id for doc in small_corpus()]
    assert (documents[0].title, documents[0].text) == (FIRST.title, FIRST.text)
    assert excluded == {"arguments without conclusion and premises": 1}
    assert trec.read_topics(folder / "topics.xml")["coffee-q0"].title == "note on espresso beans"


def test_args_me_keeps_characters_of_several_bytes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argsme, "CHUNK", 7)
    path = tmp_path / "args-me.json"
    text = "Schäden für Bürger: 日本語 \U0001f642"
    stored = {"arguments": [{"id": "1", "conclusion": text, "premises": [{"text": text}]}]}
    path.write_text(json.dumps(stored, ensure_ascii=False), encoding="utf-8")
    (document,) = argsme.read_documents(path, Counter())
    assert document.title == text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "ends before its array"),
        ('{"arguments": [{"id": "1", "premises": []}', "ends before its array"),
        ('{"arguments": [{"premises": []}]}', "argument 1 has no id"),
    ],
)
def test_args_me_that_is_damaged(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "args-me.json"
    path.write_text(content)
    with pytest.raises(InputError, match=problem):
        list(argsme.read_documents(path, Counter()))


def test_queries_with_needs_and_narratives(tmp_path: Path) -> None:
    path = tmp_path / "topics.jsonl"
    path.write_text('{"id": 7, "query": "threads", "need": "Run them.", "narrative": "Not processes."}\n')
    topic = beir.read_queries(path)["7"]
    assert (topic.title, topic.description, topic.narrative) == ("threads", "Run them.", "Not processes.")
    assert topic.query("title+description") == "threads Run them."


@pytest.mark.parametrize(
    ("line", "problem"),
    [("{", "not JSON"), ("[1]", "no JSON object"), ('{"text": "x"}', "no _id"), ('{"_id": "1", "text": "x"}', "twice")],
)
def test_queries_that_are_not_usable(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"_id": "1", "text": "x"}\n' + line + "\n")
    with pytest.raises(InputError, match=rf"queries\.jsonl:2: .*{problem}"):
        beir.read_queries(path)


def test_topics_as_tab_separated_lines(tmp_path: Path) -> None:
    path = tmp_path / "topics.tsv.gz"
    path.write_bytes(gzip.compress(b"1\tfirst query\n2\tsecond\n"))
    assert [topic.title for topic in beir.read_tsv_queries(path).values()] == ["first query", "second"]


@pytest.mark.parametrize(("text", "problem"), [("1 no tab\n", ":1: a topic is"), ("1\ta\n1\tb\n", ":2: topic 1 comes")])
def test_tab_separated_topics_that_are_not_usable(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "topics.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        beir.read_tsv_queries(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<top><title>x</top>", "topic 1 has no number"),
        ("<top><num>1<title>x</top><top><num>1<title>y</top>", "two topics have the number 1"),
        ("<html></html>", "holds no topics"),
    ],
)
def test_trec_topics_that_are_not_usable(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "topics.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        trec.read_topics(path)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    for read in (trec.read_topics, trec.read_run, beir.read_queries):
        with pytest.raises(NotFoundError, match="There is no file"):
            read(tmp_path / "nothing")
