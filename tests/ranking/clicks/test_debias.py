"""Debiased feedback: what it promises, whatever the clicks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.clicks.debias import PUBLISHED_CURVE, Debiasing, Judgements, Page, debiased, published
from ranking.clicks.models.base import FitOptions
from ranking.clicks.models.registry import MODELS, Fitted, new
from ranking.clicks.models.trust import TrustBias
from ranking.clicks.sessions import Sessions, Vocabulary
from ranking.feedback import Feedback

DOCUMENTS = tuple("abcdefghij")
FLAT = Debiasing(prior="flat", least=0.0)


def told(feedback: Feedback) -> dict[str, tuple[float, float]]:
    pairs = zip(feedback.relevance.tolist(), feedback.weight.tolist(), strict=True)
    return dict(zip(feedback.ids, pairs, strict=True))


def taught(name: str) -> Fitted:
    """A model that was fitted to a log of another query."""
    rng = np.random.default_rng(1)
    vocabulary = Vocabulary()
    codes = np.array([vocabulary.pair("other", document) for document in DOCUMENTS])
    order = codes[np.argsort(rng.random((400, 10)), axis=1)]
    clicks = rng.random((400, 10)) < 0.6 / np.arange(1, 11)
    model = new(name)
    model.fit(lambda: iter([Sessions.of(order, clicks)]), FitOptions(iterations=20))
    return Fitted(model, vocabulary)


MODELS_TAUGHT = {name: taught(name) for name in MODELS}

pages = st.lists(
    st.tuples(
        st.permutations(DOCUMENTS).flatmap(lambda order: st.integers(1, 10).map(lambda n: tuple(order[:n]))),
        st.sets(st.sampled_from(DOCUMENTS)),
        st.one_of(st.none(), st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=10)),
    ).map(lambda p: Page(p[0], frozenset(p[1]), None if p[2] is None else tuple(p[2][: len(p[0])]))),
    max_size=4,
)
options = st.builds(
    Debiasing,
    prior=st.sampled_from(["scores", "flat"]),
    relevant=st.floats(0.01, 0.99),
    slope=st.floats(0, 3),
    hit=st.floats(0.01, 0.99),
    noise=st.floats(0.01, 0.99),
    trust=st.floats(0, 0.9),
    skip_weight=st.floats(0, 1),
)


@given(pages, st.sampled_from(sorted(MODELS)), options, st.dictionaries(st.sampled_from(DOCUMENTS), st.floats(0, 1)))
@settings(max_examples=150, deadline=None)
def test_judgements_override_and_everything_is_in_range(
    shown: list[Page], name: str, reading: Debiasing, judged: dict[str, float]
) -> None:
    found = told(debiased("q", shown, Judgements(judged), MODELS_TAUGHT[name], reading))
    assert all(0 <= relevance <= 1 and 0 <= weight <= 1 for relevance, weight in found.values())
    assert {document: found[document] for document in judged} == {doc: (value, 1.0) for doc, value in judged.items()}
    seen = {document for page in shown for document in page.documents}
    assert set(found) <= seen | set(judged)
    assert all(weight >= reading.least for document, (_, weight) in found.items() if document not in judged)


@given(st.sampled_from(sorted(MODELS)), st.integers(1, 10), st.sets(st.sampled_from(DOCUMENTS), min_size=1))
@settings(max_examples=150, deadline=None)
def test_a_clicked_document_never_falls_below_an_unclicked_one(name: str, size: int, clicked: set[str]) -> None:
    page = Page(DOCUMENTS[:size], frozenset(clicked))
    found = told(debiased("q", [page], fitted=MODELS_TAUGHT[name], options=FLAT))
    hit = [found[document][0] for document in page.documents if document in clicked]
    left = [found[document][0] for document in page.documents if document not in clicked]
    if hit and left:
        assert min(hit) >= max(left)
        assert min(hit) > FLAT.relevant >= max(left)


@given(st.sets(st.integers(0, 9), min_size=1))
def test_what_nobody_looked_at_has_no_weight(clicked: set[int]) -> None:
    """To a reader of a cascade nothing below a click exists."""
    page = Page(DOCUMENTS, frozenset(DOCUMENTS[place] for place in clicked))
    found = told(debiased("q", [page], fitted=MODELS_TAUGHT["cascade"]))
    assert set(found) == set(DOCUMENTS[: max(clicked) + 1])


def test_a_skip_counts_the_less_the_further_down_it_is() -> None:
    found = told(debiased("q", [Page(DOCUMENTS, frozenset("a"))], options=Debiasing(prior="flat", least=0.08)))
    relevance = [found[document][0] for document in found if document != "a"]
    weight = [found[document][1] for document in found if document != "a"]
    assert relevance == sorted(relevance)
    assert weight == sorted(weight, reverse=True)
    assert 3 < len(found) < 10  # the last ranks were hardly looked at
    assert PUBLISHED_CURVE[9] < 0.08


def test_the_posterior_is_that_of_bayes() -> None:
    reading = Debiasing(prior="flat", relevant=0.3, hit=0.8, noise=0.1, least=0.0)
    found = told(debiased("q", [Page(("a", "b", "c"), frozenset("a"))], options=reading))
    assert found["a"][0] == pytest.approx(0.3 * 0.8 / (0.3 * 0.8 + 0.7 * 0.1))
    seen = PUBLISHED_CURVE[1]
    assert found["b"][0] == pytest.approx(0.3 * (1 - seen * 0.8) / (0.3 * (1 - seen * 0.8) + 0.7 * (1 - seen * 0.1)))


def test_scores_say_what_is_likely_before_any_click() -> None:
    scored = Page(("a", "b", "c", "d"), frozenset("d"), (4.0, 3.0, 2.0, 1.0))
    with_scores = told(debiased("q", [scored], options=Debiasing(least=0.0, slope=1.0)))
    flat = told(debiased("q", [scored], options=FLAT))
    assert with_scores["a"][0] > flat["a"][0]
    assert with_scores["d"][0] < flat["d"][0]
    same = Page(("a", "b"), frozenset("b"), (1.0, 1.0))
    assert told(debiased("q", [same])) == told(debiased("q", [Page(("a", "b"), frozenset("b"))]))


def test_rounds_add_up() -> None:
    once, twice = (
        told(debiased("q", [Page(("b", "a"), frozenset("b"))] * times, options=Debiasing(prior="flat")))
        for times in (1, 2)
    )
    assert twice["a"][0] < once["a"][0]
    assert twice["a"][1] > once["a"][1]
    assert twice["b"][0] > once["b"][0]
    first, again = Page(("a", "b"), frozenset("b")), Page(("b", "a"))
    left = told(debiased("q", [first, again], options=FLAT))
    assert left["b"] == told(debiased("q", [first], options=FLAT))["b"]  # nobody clicks twice on what he has read


def test_a_glance_is_half_a_click() -> None:
    quick = Page(("a", "b"), frozenset("ab"), dwell_ms={"a": 300, "b": 30_000})
    found = told(debiased("q", [quick], options=FLAT))
    assert FLAT.relevant < found["a"][0] < found["b"][0]
    assert found["a"][1] == found["b"][1] / 2
    assert told(debiased("q", [quick], options=Debiasing(prior="flat", glance_ms=0)))["a"][1] == 1.0


def test_trust_at_the_top_makes_a_click_there_worth_less() -> None:
    model = new("trust")
    assert isinstance(model, TrustBias)
    model.theta, model.epsilon = np.array([1.0, 1.0, 1.0]), np.array([0.5, 0.2, 0.0])
    page = Page(("a", "b", "c"), frozenset("abc"))
    found = told(debiased("q", [page], fitted=Fitted(model, Vocabulary()), options=FLAT))
    assert found["a"][0] < found["b"][0] < found["c"][0]


def test_what_others_clicked_counts_for_documents_that_were_hardly_seen() -> None:
    vocabulary = Vocabulary()
    codes = np.array([vocabulary.pair("q", document) for document in DOCUMENTS])
    rng = np.random.default_rng(0)
    order = np.argsort(rng.random((600, 10)), axis=1)
    good = np.isin(order, [8, 9])
    clicks = rng.random(order.shape) < np.where(good, 0.8, 0.05) / np.arange(1, 11)
    model = new("pbm")
    model.fit(lambda: iter([Sessions.of(codes[order], clicks)]))
    page = Page(DOCUMENTS, frozenset("a"))
    found = told(debiased("q", [page], fitted=Fitted(model, vocabulary), options=FLAT))
    assert min(found["i"][0], found["j"][0]) > 0.9
    assert max(found[document][0] for document in "bcdefgh") < 0.1
    assert min(weight for _, weight in found.values()) > 0.5
    unknown = told(debiased("another query", [page], fitted=Fitted(model, vocabulary), options=FLAT))
    assert unknown["j"][0] < FLAT.relevant
    alone = told(debiased("q", [page], fitted=Fitted(model, vocabulary), options=Debiasing(prior="flat", others=0.0)))
    assert alone.keys() < found.keys()


def test_nothing_shown_says_nothing() -> None:
    assert len(debiased("q", [])) == 0
    assert len(debiased("q", [Page(())])) == 0
    assert told(debiased("q", [], Judgements({"a": 1.0}, {"a": 2.0}))) == {"a": (1.0, 2.0)}
    assert published() is published()
