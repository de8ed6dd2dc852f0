from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from index.encoder import locate
from ranking.learning.batches import PairTokenizer

PATH = locate("default")[0] / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer() -> PairTokenizer:
    return PairTokenizer(PATH, 48)


def test_a_pair_is_what_the_models_own_tokenizer_makes_of_it(tokenizer: PairTokenizer) -> None:
    whole = Tokenizer.from_file(str(PATH))
    whole.no_padding()
    expected = whole.encode("tidal harbour", "A boat rounds the mole.")
    assert tokenizer.pairs("tidal harbour", ["A boat rounds the mole."]) == [(expected.ids, expected.type_ids)]


@pytest.mark.parametrize(("words", "text"), [(2, 500), (500, 3), (500, 500), (0, 0), (0, 500)])
def test_no_pair_is_too_long_and_texts_keep_room(tokenizer: PairTokenizer, words: int, text: int) -> None:
    ((ids, types),) = tokenizer.pairs("boat " * words, ["tide " * text])
    assert len(ids) == len(types) <= 48
    kept = sum(types) - 1  # the mark after the text
    assert kept >= min(text, 16)
    if words < 10 and text:
        assert kept == min(text, 48 - words - 3)


def test_passages_cover_a_text_with_some_overlap(tokenizer: PairTokenizer) -> None:
    text = " ".join(f"word{number}" for number in range(60))
    cut, (pieces, short) = tokenizer.passages("boat", [text, "tide"], most=40)
    assert cut == 0
    assert len(short) == 1
    whole = tokenizer._whole.encode(text, add_special_tokens=False).ids
    read: list[int] = []
    for piece in pieces:
        own = [token for token, kind in zip(piece.ids, piece.types, strict=True) if kind][:-1]
        overlap = next(n for n in range(min(len(own), len(read)), -1, -1) if read[len(read) - n :] == own[:n])
        assert not read or overlap > 0
        read += own[overlap:]
    assert read == whole


def test_what_is_not_read_is_counted(tokenizer: PairTokenizer) -> None:
    cut, pieces = tokenizer.passages("boat", ["tide " * 500, "tide"], most=2)
    assert cut == 1
    assert [len(own) for own in pieces] == [2, 1]


def test_what_was_read_is_remembered_by_query_and_text() -> None:
    tokenizer = PairTokenizer(PATH, 48)
    texts = ["tide " * 500, "tide", "mole", "tide"]
    first = tokenizer.passages("boat", texts, most=2)
    assert (tokenizer.remembered.hits, len(tokenizer.remembered)) == (0, 3)
    again = tokenizer.passages("boat", ["mole", *texts], most=2)
    assert again == (first[0], [first[1][2], *first[1]])
    assert (tokenizer.remembered.hits, len(tokenizer.remembered)) == (3, 3)
    for query, text, most in (("boat", "boat", 2), ("boats", "mole", 2), ("boat", "mole", 1), ("boatm", "ole", 2)):
        fresh = PairTokenizer(PATH, 48).passages(query, [text], most)
        assert tokenizer.passages(query, [text], most) == fresh
    assert tokenizer.remembered.hits == 3


def test_what_is_remembered_has_bounds() -> None:
    tokenizer = PairTokenizer(PATH, 48)
    tokenizer.remembered.limit = 20_000
    for number in range(40):
        tokenizer.passages("boat", [f"tide {number} " * 40], most=2)
    assert 0 < tokenizer.remembered.bytes <= 20_000
    assert len(tokenizer.remembered) < 40
