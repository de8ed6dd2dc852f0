"""An index in shards ranks as the one index does: document for document, with equal scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.build import BuildOptions, build_index
from index.errors import InputError
from index.filters import parse_filter
from index.index import Index
from index.lexical import LexicalQuery
from index.readers import read_documents
from index.sharded.reading import merged
from index.sharded.shard import shard_of
from index.types import Document, Ranking
from tests.fakes import HashingEncoder
from tests.index.sharded.made import generated, queries, same

Pair = tuple[Index, Index]
LIMITS = (1, 5, 40, 1_000)


@pytest.fixture(scope="module")
def corpus() -> list[Document]:
    return generated(400)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, corpus: list[Document], encoder: HashingEncoder) -> Index:
    path = tmp_path_factory.mktemp("whole") / "index"
    build_index(path, corpus, encoder=encoder)
    return Index.open(path, encoder=encoder)


@pytest.fixture(scope="module", params=[2, 4, 7])
def pair(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    whole: Index,
    corpus: list[Document],
    encoder: HashingEncoder,
) -> Pair:
    """The whole index, and one of as many shards."""
    path = tmp_path_factory.mktemp("sharded") / "index"
    build_index(path, corpus, BuildOptions(shards=request.param), encoder=encoder)
    return whole, Index.open(path, encoder=encoder)


def test_texts(pair: Pair) -> None:
    rankings = same(*pair, [LexicalQuery(text=text) for text in queries(25)], LIMITS)
    assert sum(len(ranking) for ranking in rankings) > 2_000


def test_texts_that_say_nothing(pair: Pair) -> None:
    rankings = same(*pair, [LexicalQuery(text=text) for text in ("", "the of", "unknown", "\ud800 word1")], (10,))
    assert [bool(len(ranking)) for ranking in rankings] == [False, False, False, True]


def test_weighted_terms_and_other_parameters(pair: Pair) -> None:
    weights = {"word3": 2.5, "word17": 0.125, "word80": 1.0, "ignored": -1.0}
    asked = [
        LexicalQuery(terms=weights),
        LexicalQuery(text="word1 word2", terms=weights, require_text=True),
        LexicalQuery(text="word5 word5 word9", k1=1.2, b=0.75),
        LexicalQuery(text="word5", k1=0.0, b=0.0),
    ]
    same(*pair, asked, LIMITS)


def test_likeness(pair: Pair, corpus: list[Document]) -> None:
    liked = tuple(document.id for document in corpus[10:14])
    asked = [
        LexicalQuery(like=liked),
        LexicalQuery(text="word2 word8", like=(*liked, "nowhere"), like_terms=5, require_text=True),
        LexicalQuery(like=("nowhere",)),
    ]
    assert [len(ranking) > 0 for ranking in same(*pair, asked, (100,))] == [True, True, False]


def test_filters(pair: Pair) -> None:
    condition = parse_filter('group == "g1" and 1995 <= year < 2010')
    rankings = same(*pair, [LexicalQuery(text=text, filter=condition) for text in queries(10)], LIMITS)
    assert any(len(ranking) for ranking in rankings)
    with pytest.raises(InputError, match="colour"):
        pair[1].view().lexical.check(parse_filter('colour == "red"'))
    with pytest.raises(InputError, match="colour"):
        pair[1].view().lexical.search(LexicalQuery(text="word1", filter=parse_filter('colour == "red"')), 5)


def test_within(pair: Pair, corpus: list[Document]) -> None:
    some = tuple(document.id for document in corpus[::9])
    same(*pair, [LexicalQuery(text=text, within=(*some, "nowhere")) for text in queries(10)], LIMITS)
    same(*pair, [LexicalQuery(text="word1", within=within) for within in ((), some[:1], ("nowhere",))], LIMITS)


def test_everything_else_that_is_read(pair: Pair, corpus: list[Document]) -> None:
    whole, sharded = (index.view().lexical for index in pair)
    ids = [document.id for document in corpus[::11]] + ["nowhere", corpus[0].id]
    terms = ["word0", "word7", "word399", "unknown"]
    assert sharded.documents_count == whole.documents_count == len(corpus)
    assert sharded.documents(ids) == whole.documents(ids)
    assert sharded.document("nowhere") is None
    assert sharded.holds(ids) == whole.holds(ids)
    assert corpus[3].id in sharded
    assert "nowhere" not in sharded
    assert sharded.term_vectors(ids) == whole.term_vectors(ids)
    assert sharded.doc_frequencies(terms) == whole.doc_frequencies(terms)
    assert sharded.collection_frequencies(terms) == whole.collection_frequencies(terms)
    assert sharded.total_terms() == whole.total_terms()
    assert sharded.field_statistics() == whole.field_statistics()
    assert sorted(sharded.live_ids()) == sorted(whole.live_ids())
    assert len(sharded.live_ids(3)) == 3
    assert sharded.snippets("word1 word30", ids) == whole.snippets("word1 word30", ids)
    best = whole.search(LexicalQuery(text="word30 word1"), 1).ids[0]
    accounts = [view.explain(LexicalQuery(text="word30 word1"), best) for view in (whole, sharded)]
    assert accounts[0].split(" = ")[0] == accounts[1].split(" = ")[0]  # the score; document numbers differ
    assert f"{len(corpus)} = N" in accounts[1]
    assert sharded.explain(LexicalQuery(text="unknown"), best) == whole.explain(LexicalQuery(text="unknown"), best)
    assert sharded.explain(LexicalQuery(text="word1"), "nowhere") == "no match"


def test_vectors_are_in_one_space_and_merge_exactly(pair: Pair, corpus: list[Document]) -> None:
    whole, sharded = (index.view().vectors for index in pair)
    assert whole is not None
    assert sharded is not None
    assert sharded.space_digest == whole.space_digest
    ids = [document.id for document in corpus] + ["nowhere"]
    for space in ("raw", "conditioned", "learned"):
        np.testing.assert_array_equal(sharded.take(ids, space), whole.take(ids, space))
    directions = whole.condition(pair[0].encode(queries(20)))
    np.testing.assert_array_equal(directions, sharded.condition(pair[1].encode(queries(20))))
    for condition in (None, parse_filter('group != "g0"')):
        for limit in (1, 7, 1_000):
            assert sharded.nearest(directions, limit, condition) == whole.nearest(directions, limit, condition)


@pytest.mark.parametrize("layout", ["multifield"])
def test_two_fields(tmp_path: Path, corpus: list[Document], layout: str) -> None:
    options = {"layout": layout, "boosts": {"title": 3.0}}
    for name, shards in (("whole", None), ("three", 3)):
        build_index(tmp_path / name, corpus[:150], BuildOptions(shards=shards, **options))  # type: ignore[arg-type]
    pair = Index.open(tmp_path / "whole"), Index.open(tmp_path / "three")
    liked = (corpus[3].id,)
    same(*pair, [*(LexicalQuery(text=text) for text in queries(20)), LexicalQuery(like=liked)], LIMITS)


def test_added_documents_are_ranked_as_in_one_index(
    new_index: Callable[..., Index], tmp_path: Path, encoder: HashingEncoder
) -> None:
    first, more = generated(120), generated(240, seed=5)[120:]
    more[3] = Document(more[3].id, more[3].title, more[3].text, {"colour": "red"})
    whole, sharded = (new_index(name=name, documents=first, shards=n) for name, n in (("whole", None), ("three", 3)))
    reader = Index.open(sharded.path, encoder=encoder)
    assert sharded.upsert(more) == whole.upsert(more) == 120
    asked = [LexicalQuery(text=text) for text in queries(15)]
    same(whole, sharded, asked, LIMITS)
    same(whole, reader, asked, LIMITS)
    red = parse_filter('colour == "red"')  # one shard has such a document, and every shard knows the field
    assert sharded.view().lexical.search(LexicalQuery(text=more[3].text, filter=red), 9).ids == (more[3].id,)
    vectors = [index.view().vectors for index in (whole, sharded)]
    directions = [found.condition(encoder.encode(queries(5))) for found in vectors if found]
    assert vectors[0].nearest(directions[0], 30) == vectors[1].nearest(directions[1], 30)  # type: ignore[union-attr]


def test_documents_are_replaced_and_deleted_where_they_are(new_index: Callable[..., Index]) -> None:
    documents = generated(60)
    index = new_index(documents=documents, shards=4)
    gone, changed = documents[5].id, documents[6].id
    assert index.delete([gone, gone, "nowhere"]) == 1
    assert index.delete(["nowhere"]) == 0
    index.upsert([Document(changed, text="entirely zyzzyva")])
    view = index.view()
    assert view.documents == 59
    assert gone not in view.lexical
    assert view.lexical.search(LexicalQuery(text="zyzzyva"), 5).ids == (changed,)
    with pytest.raises(InputError, match="empty"):
        index.upsert([Document("fine", text="fine"), Document("", text="no id")])
    assert "fine" not in index.view().lexical


@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from([0.25, 0.5, 1.0, 2.0])), unique_by=lambda item: item[0]),
    st.integers(1, 7),
    st.integers(0, 40),
)
def test_merging_is_ranking_everything(scored: list[tuple[int, float]], shards: int, limit: int) -> None:
    everything = {f"d{number}": score for number, score in scored}
    parts: list[dict[str, float]] = [{} for _ in range(shards)]
    for doc, score in everything.items():
        parts[shard_of(doc, shards)][doc] = score
    heads = [Ranking.of(list(part), list(part.values()), limit) for part in parts]
    assert merged(heads, limit) == Ranking.of(list(everything), list(everything.values()), limit)


@pytest.mark.parametrize("name", ["nfcorpus", "vaswani"])
def test_real_collections(name: str, data: Path, tmp_path: Path) -> None:
    """Words only: encoding takes minutes, and vectors are compared above."""
    folder = data / "collections" / name
    documents = list(read_documents(str(folder / "corpus.jsonl")))
    build_index(tmp_path / "whole", documents)
    whole = Index.open(tmp_path / "whole")
    topics = [document.text for document in read_documents(str(folder / "queries.jsonl"))][:40]
    for shards in (2, 4, 7):
        build_index(tmp_path / str(shards), documents, BuildOptions(shards=shards))
        sharded = Index.open(tmp_path / str(shards))
        rankings = same(whole, sharded, [LexicalQuery(text=text) for text in topics], (10, 1_000))
        assert sum(len(ranking) > 0 for ranking in rankings) > 60
