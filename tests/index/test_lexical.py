"""BM25 on Lucene: what a view of the inverted index promises."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index.build import BuildOptions, build_index
from index.errors import InputError
from index.filters import parse_filter
from index.index import Index
from index.lexical import LexicalQuery, LexicalView
from index.readers import read_documents
from index.types import Document

NewIndex = Callable[..., Index]


@pytest.fixture(scope="module")
def lexical(lexical_index: Index) -> LexicalView:
    return lexical_index.view().lexical


def found(view: LexicalView, text: str, filter_text: str | None = None, **more: object) -> set[str]:
    condition = parse_filter(filter_text) if filter_text else None
    return set(view.search(LexicalQuery(text=text, filter=condition, **more), 100).ids)  # type: ignore[arg-type]


def test_search_orders_by_score_then_id(lexical: LexicalView) -> None:
    ranking = lexical.search(LexicalQuery(text="espresso beans"), 20)
    keys = [(-score, doc) for doc, score in ranking]
    assert keys == sorted(keys)
    assert len(ranking) > 5
    assert all(doc.startswith("coffee") for doc in ranking.ids)


def test_bm25_is_the_published_formula(new_index: NewIndex) -> None:
    """Lucene's BM25: idf * tf / (tf + k1 (1 - b + b length / average)), idf = ln(1 + (N - n + .5) / (n + .5))."""
    documents = [Document("a", text="alpha beta beta"), Document("b", text="beta gamma"), Document("c", text="delta")]
    view = new_index(vectors=False, documents=documents).view().lexical
    ranking = view.search(LexicalQuery(text="beta"), 10)
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = {
        doc: idf * tf / (tf + 0.9 * (1 - 0.4 + 0.4 * length / 2)) for doc, tf, length in (("a", 2, 3), ("b", 1, 2))
    }
    assert ranking.scores_by_id() == pytest.approx(expected, rel=1e-6)


def test_k1_and_b_can_be_set_for_one_query(lexical: LexicalView) -> None:
    ranking = lexical.search(LexicalQuery(text="espresso", k1=0.0, b=0.0), 20)
    assert len(set(np.round(ranking.scores, 5))) == 1  # without k1 a term's frequency does not count


@pytest.mark.parametrize("text", ["", "   ", "the and of to", "!!! ??? ---", "\x00"])
def test_queries_without_a_term_find_nothing(lexical: LexicalView, text: str) -> None:
    assert len(lexical.search(LexicalQuery(text=text), 10)) == 0


@pytest.mark.parametrize(
    "text", ['"espresso" AND (beans OR', "title:[a TO *] espresso~2^", "espresso\ud800", "☕ espresso 😀"]
)
def test_lucene_syntax_and_odd_characters_are_plain_text(lexical: LexicalView, text: str) -> None:
    assert "coffee-00" in found(lexical, text)


def test_a_hundred_kilobytes_of_query_are_answered(lexical: LexicalView) -> None:
    text = "espresso " + " ".join(f"word{n}" for n in range(12_000))
    assert len(text) > 100_000
    assert "coffee-00" in found(lexical, text)


def test_expansion_terms_carry_their_boosts(lexical: LexicalView) -> None:
    ranking = lexical.search(LexicalQuery(terms={"mast": 5.0, "espresso": 0.01, "ignored": 0.0, "keel": -1.0}), 100)
    assert ranking.ids[0].startswith("sailing")
    assert ranking.ids[-1].startswith("coffee")


def test_a_boost_scales_the_score(lexical: LexicalView) -> None:
    one = lexical.search(LexicalQuery(terms={"mast": 1.0}), 5)
    three = lexical.search(LexicalQuery(terms={"mast": 3.0}), 5)
    assert one.ids == three.ids
    np.testing.assert_allclose(three.scores, 3 * one.scores, rtol=1e-6)


def test_more_like_a_document_finds_its_topic(lexical: LexicalView) -> None:
    ranking = lexical.search(LexicalQuery(like=("sailing-03",)), 10)
    assert ranking.ids[0] == "sailing-03"
    assert sum(doc.startswith("sailing") for doc in ranking.ids) >= 8


def test_required_text_must_match_and_likeness_only_adds(lexical: LexicalView) -> None:
    plain = found(lexical, "espresso")
    liked = found(lexical, "espresso", like=("sailing-03", "coffee-02"), require_text=True)
    assert liked == plain
    assert lexical.search(LexicalQuery(like=("unknown",)), 10).ids == ()


def test_text_of_stop_words_alone_requires_nothing(lexical: LexicalView) -> None:
    assert found(lexical, "the of", like=("sailing-03", "coffee-02"), require_text=True) == found(
        lexical, "", like=("sailing-03", "coffee-02")
    )


def test_within_restricts_to_the_documents_named(lexical: LexicalView) -> None:
    assert found(lexical, "espresso beans", within=("coffee-00", "sailing-00", "nowhere")) == {"coffee-00"}
    assert found(lexical, "espresso beans", within=()) == set()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('topic == "coffee"', lambda d: d["topic"] == "coffee"),
        ('topic != "coffee"', lambda d: d["topic"] != "coffee"),
        ('topic in ["coffee", "python"]', lambda d: d["topic"] in ("coffee", "python")),
        ('topic not in ["coffee"]', lambda d: d["topic"] != "coffee"),
        ("part < 3", lambda d: d["part"] < 3),
        ("part <= 3", lambda d: d["part"] <= 3),
        ("part > 9", lambda d: d["part"] > 9),
        ("part >= 9", lambda d: d["part"] >= 9),
        ("3 <= part < 5", lambda d: 3 <= d["part"] < 5),
        ("part == 4 or part == 7", lambda d: d["part"] in (4, 7)),
        ("part != 4", lambda d: d["part"] != 4),
        ("part in [1, 2.0]", lambda d: d["part"] in (1, 2)),
        ("even == True", lambda d: d["even"]),
        ('not (topic == "coffee" and part < 6)', lambda d: not (d["topic"] == "coffee" and d["part"] < 6)),
    ],
)
def test_filters_admit_what_they_say(
    lexical: LexicalView, corpus: list[Document], condition: str, expected: Callable[[dict[str, object]], bool]
) -> None:
    numbers = lexical.matching(parse_filter(condition))
    assert {lexical.segments.ids[n] for n in numbers} == {d.id for d in corpus if expected(dict(d.fields))}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ('colour == "red"', "Field 'colour' is unknown"),
        ('topics == "coffee"', "Did you mean 'topic'"),
        ('part == "four"', "holds numbers"),
        ('topic < "m"', "have no order"),
    ],
)
def test_filters_that_do_not_fit_say_why(lexical: LexicalView, condition: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lexical.search(LexicalQuery(text="espresso", filter=parse_filter(condition)), 10)


def test_dates_are_compared_as_moments(new_index: NewIndex) -> None:
    days = {"old": "1999-12-31", "new": "2024-05-01T12:00:00+02:00", "same": "2024-05-01T10:00:00Z"}
    documents = [Document(doc, text="word", fields={"day": day}) for doc, day in days.items()]
    view = new_index(vectors=False, documents=documents, fields={"day": "date"}).view().lexical
    assert found(view, "word", 'day > "2000-01-01"') == {"new", "same"}
    assert found(view, "word", 'day == "2024-05-01T10:00:00"') == {"new", "same"}
    assert found(view, "word", 'day < "1969-01-01"') == set()
    with pytest.raises(InputError, match="is none"):
        found(view, "word", 'day > "yesterday"')


def test_several_keywords_match_by_any_of_them(new_index: NewIndex) -> None:
    view = new_index(vectors=False, documents=[Document("a", text="word", fields={"tag": ["x", "y"]})]).view().lexical
    assert found(view, "word", 'tag == "y"') == {"a"}
    assert view.document("a") == Document("a", "", "word", {"tag": ("x", "y")})


def test_documents_come_back_as_they_were(lexical: LexicalView, corpus: list[Document]) -> None:
    ids = [d.id for d in reversed(corpus)]
    assert lexical.documents([*ids, "nowhere"]) == [*reversed(corpus), None]
    assert "coffee-00" in lexical
    assert "nowhere" not in lexical


def test_odd_text_is_stored_as_it_is(new_index: NewIndex) -> None:
    document = Document("é 😀/#?", "Tab\tand 😀", "NUL \x00, 中文, \u2028 and 'quotes\"", {"größe": 1.5})
    view = new_index(vectors=False, documents=[document]).view().lexical
    assert view.document(document.id) == document


def test_term_vectors_and_statistics(new_index: NewIndex) -> None:
    documents = [Document("a", "Boats", "boats sailing boat"), Document("b", text="a boat")]
    for layout in ("flat", "multifield"):
        view = new_index(vectors=False, documents=documents, layout=layout, name=layout).view().lexical
        assert view.term_vectors(["a", "unknown"]) == [{"boat": 3, "sail": 1}, {}]
        assert view.doc_frequencies(["boat", "sail", "keel"]) == {"boat": 2, "sail": 1, "keel": 0}
        assert view.collection_frequencies(["boat", "keel"]) == {"boat": 4, "keel": 0}
        assert view.total_terms() == 5


def test_explain_tells_the_score(lexical: LexicalView) -> None:
    ranking = lexical.search(LexicalQuery(text="espresso beans"), 1)
    account = lexical.explain(LexicalQuery(text="espresso beans"), ranking.ids[0])
    assert float(account.split()[0]) == pytest.approx(ranking.scores[0], rel=1e-5)
    assert "k1, term saturation parameter" in account
    assert lexical.explain(LexicalQuery(text="espresso"), "nowhere") == "no match"


def test_snippets_mark_the_words_that_match(lexical: LexicalView) -> None:
    (one, none) = lexical.snippets("roasting espresso", ["coffee-00", "nowhere"])
    assert {one.text[a:b].lower() for a, b in one.highlights} <= {"roast", "espresso"}
    assert one.highlights
    assert none.text == ""


@pytest.mark.parametrize("name", ["english-krovetz", "whitespace", "standard", "de", "ja", "fr", "pt-br", "uk"])
def test_other_analyzers_index_and_search(new_index: NewIndex, name: str) -> None:
    documents = [Document("a", text="Die Häuser stehen nahe am Hafen"), Document("b", text="東京の天気")]
    view = new_index(vectors=False, documents=documents, analyzer=name).view().lexical
    assert found(view, "Hafen") == {"a"}


def test_multifield_boosts_titles(new_index: NewIndex) -> None:
    documents = [Document("title", "boat", "nothing here"), Document("body", "nothing", "boat here")]
    view = new_index(vectors=False, documents=documents, layout="multifield", boosts={"title": 9.0}).view().lexical
    ranking = view.search(LexicalQuery(text="boat"), 2)
    assert ranking.ids == ("title", "body")
    assert ranking.scores[0] > 5 * ranking.scores[1]


@pytest.mark.parametrize(("layout", "ndcg", "recall"), [("flat", 0.3218, 0.2457), ("multifield", 0.3254, 0.2500)])
def test_the_published_figures_on_nfcorpus(data: Path, tmp_path: Path, layout: str, ndcg: float, recall: float) -> None:
    """Anserini's regression figures for BEIR's NFCorpus (test), to four digits."""
    import ir_measures
    from ir_measures import R, nDCG

    folder = data / "collections" / "nfcorpus"
    build_index(tmp_path / layout, read_documents(folder), BuildOptions(layout=layout))  # type: ignore[arg-type]
    view = Index.open(tmp_path / layout).view().lexical
    lines = (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]
    qrels = [ir_measures.Qrel(q, d, int(g)) for q, d, g in (line.split("\t") for line in lines)]
    judged = {qrel.query_id for qrel in qrels}
    rows = map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").strip().split("\n"))
    topics = {row["_id"]: row["text"] for row in rows}
    run = [
        ir_measures.ScoredDoc(topic, doc, -float(rank))
        for topic in judged
        for rank, doc in enumerate(view.search(LexicalQuery(text=topics[topic]), 100).ids)
    ]
    figures = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], qrels, run)
    assert round(figures[nDCG @ 10], 4) == ndcg
    assert round(figures[R @ 100], 4) == recall
