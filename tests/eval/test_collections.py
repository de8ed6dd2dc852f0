"""Collections from folders, files and ir_datasets."""

from __future__ import annotations

import sys
from collections import Counter, namedtuple
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from eval.collections import CollectionSpec, load_collection
from index.errors import InputError, NotFoundError, UnavailableError
from tests.conftest import small_corpus
from tests.eval.made import grades, topics, write_beir, write_covid, write_news, write_robust, write_touche


def test_a_beir_folder(tmp_path: Path) -> None:
    write_beir(tmp_path / "small")
    found = load_collection("small", CollectionSpec("small"), tmp_path)
    assert list(found.topics) == list(topics())
    assert found.qrels["coffee-q0"] == grades("coffee-q0")
    assert [doc.id for doc in found.documents(Counter())] == [doc.id for doc in small_corpus()]
    assert not found.judges_negatives()
    assert not found.excluded


@pytest.mark.parametrize(
    ("write", "spec", "query"),
    [
        (
            write_robust,
            {"documents": "documents", "format": "trec", "topics": "topics.txt", "query": "description"},
            "note on espresso beans",
        ),
        (
            write_covid,
            {"documents": "corpus", "format": "cord19", "topics": "topics.xml", "query": "description", "relevant": 2},
            "note on espresso beans?",
        ),
        (
            write_news,
            {"documents": "articles.jl", "format": "wapo", "topics": "topics.xml", "relevant": 2},
            "",
        ),
        (
            write_touche,
            {"documents": "args-me.json", "format": "args.me", "topics": "topics.xml", "relevant": 2},
            "note on espresso beans",
        ),
    ],
)
def test_the_papers_collections_by_their_files(tmp_path: Path, write: object, spec: dict, query: str) -> None:  # type: ignore[type-arg]
    write(tmp_path / "it")  # type: ignore[operator]
    chosen = CollectionSpec(qrels="qrels.txt", **spec)
    found = load_collection("it", chosen, tmp_path / "it")
    assert list(found.topics) == list(topics())
    assert found.topics["coffee-q0"].query(chosen.query) == query
    assert {doc.id for doc in found.documents(Counter())} >= {doc.id for doc in small_corpus()}


def test_topics_and_judgements_without_each_other_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "small")
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("unknown\tcoffee-00\t1\nunknown\tcoffee-01\t1\n")
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "unjudged", "text": "tea"}\n')
    found = load_collection("small", CollectionSpec("small"), tmp_path)
    assert list(found.topics) == list(topics())
    assert found.excluded == {"judgements of topics that do not exist": 2, "topics without judgements": 1}


def test_bad_documents_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "small")
    with (folder / "corpus.jsonl").open("a") as file:
        file.write("{broken\n")
    found = load_collection("small", CollectionSpec("small", on_error="skip"), tmp_path)
    excluded: Counter[str] = Counter()
    assert len(list(found.documents(excluded))) == 60
    assert excluded == {"documents that could not be read": 1}
    with pytest.raises(InputError, match=r"corpus\.jsonl:61"):
        list(load_collection("small", CollectionSpec("small"), tmp_path).documents(Counter()))


def test_hashes_follow_the_content(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "small")
    first = load_collection("small", CollectionSpec("small"), tmp_path)
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("coffee-q0\tpython-00\t1\n")
    second = load_collection("small", CollectionSpec("small"), tmp_path)
    assert (first.corpus, first.judgements) != (second.corpus, second.judgements)
    assert first.corpus == second.corpus
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "new", "text": "tea"}\n')
    third = load_collection("small", CollectionSpec("small"), tmp_path)
    assert third.corpus != second.corpus
    assert third.judgements == second.judgements


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "incomplete"),
        ({"documents": "d", "topics": "t"}, "incomplete"),
        ({"source": "x", "documents": "d"}, "a source and files of its own"),
        ({"source": "x", "not_relevant": 1}, "relevant and not relevant"),
    ],
)
def test_specifications_that_do_not_make_sense(options: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        CollectionSpec(**options)  # type: ignore[arg-type]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no collection folder .*nowhere.*CLICKWISE_DATA"):
        load_collection("x", CollectionSpec("nowhere"), tmp_path)
    write_beir(tmp_path / "small")
    with pytest.raises(NotFoundError, match=r"dev\.tsv"):
        load_collection("x", CollectionSpec("small", qrels="dev"), tmp_path)
    with pytest.raises(NotFoundError, match=r"no file or folder .*gone"):
        load_collection("x", CollectionSpec(documents="gone", topics="small/queries.jsonl", qrels="q"), tmp_path)


def test_judgements_of_another_collection(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "small")
    (folder / "qrels" / "test.tsv").write_text("other 0 d 1\n")
    with pytest.raises(InputError, match="No topic of the collection 'small' has judgements"):
        load_collection("small", CollectionSpec("small"), tmp_path)


class Dataset:
    """A dataset as ir_datasets has them: named tuples of attributes that differ from one to the other."""

    Query = namedtuple("Query", "query_id title description narrative")
    Linked = namedtuple("Linked", "query_id doc_id url")
    Qrel = namedtuple("Qrel", "query_id doc_id relevance iteration")
    Doc = namedtuple("Doc", "doc_id title body")

    def __init__(self, linked: bool = False, documents_only: bool = False) -> None:
        self.linked, self.documents_only = linked, documents_only

    def has_docs(self) -> bool:
        return True

    def has_queries(self) -> bool:
        return not self.documents_only

    has_qrels = has_queries

    def queries_iter(self) -> object:
        yield self.Linked("1", "d1", "u") if self.linked else self.Query("1", "short", "A question?", "What counts.")

    def qrels_iter(self) -> object:
        yield from [self.Qrel("1", "d1", 2, "0"), self.Qrel("1", "d2", -1, "0"), self.Qrel("1", "d1", 2, "0")]

    def docs_iter(self) -> object:
        for doc in ("d1", "d2"):
            found = self.Doc(doc, f"title {doc}", f"body {doc}")
            yield type("D", (self.Doc,), {"default_text": lambda self: f"{self.title} {self.body}"})(*found)


@pytest.fixture
def ir_datasets(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A stand-in for the optional package, with what its documentation promises."""
    known: dict[str, object] = {"a/test": Dataset(), "news": Dataset(linked=True), "docs": Dataset(documents_only=True)}
    module = ModuleType("ir_datasets")
    module.load = known.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ir_datasets", module)
    return known


@pytest.mark.usefixtures("ir_datasets")
def test_a_dataset_of_ir_datasets(tmp_path: Path) -> None:
    found = load_collection("a", CollectionSpec("irds:a/test", query="description"), tmp_path)
    assert found.topics["1"].query("description") == "A question?"
    assert found.topics["1"].narrative == "What counts."
    assert found.qrels == {"1": {"d1": 2, "d2": 0}}
    assert found.excluded == {
        "judgements that repeat an earlier line": 1,
        "judgements of a grade below 0, taken as 0": 1,
    }
    assert [(doc.id, doc.title, doc.text) for doc in found.documents(Counter())] == [
        ("d1", "title d1", "body d1"),
        ("d2", "title d2", "body d2"),
    ]


@pytest.mark.usefixtures("ir_datasets")
def test_topics_that_name_a_document(tmp_path: Path) -> None:
    topic = load_collection("news", CollectionSpec("irds:news"), tmp_path).topics["1"]
    assert (topic.title, topic.document) == ("", "d1")


def test_datasets_that_cannot_be_used(tmp_path: Path, ir_datasets: dict[str, object]) -> None:
    with pytest.raises(NotFoundError, match="knows no dataset b"):
        load_collection("b", CollectionSpec("irds:b"), tmp_path)
    with pytest.raises(InputError, match="no topics with judgements"):
        load_collection("docs", CollectionSpec("irds:docs"), tmp_path)

    def fail() -> object:
        raise OSError("no network")

    ir_datasets["offline"] = SimpleNamespace(
        has_docs=lambda: True, has_queries=lambda: True, has_qrels=lambda: True, queries_iter=fail
    )
    with pytest.raises(UnavailableError, match="could not read offline: OSError: no network"):
        load_collection("o", CollectionSpec("irds:offline"), tmp_path)


def test_pydocs_comes_along() -> None:
    found = load_collection("pydocs", CollectionSpec("pydocs", relevant=2), Path("nowhere"))
    assert len(found.topics) >= 60
    assert all(topic.title and topic.description and topic.narrative for topic in found.topics.values())
    assert found.judges_negatives(8)
    relevant = [sum(grade >= 1 for grade in judged.values()) for judged in found.qrels.values()]
    assert sum(relevant) / len(relevant) >= 20
    assert not found.excluded
