"""Which feedback a topic gets, which topics are dropped and why, and sessions of several rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval.collections import Collection, CollectionSpec
from eval.crowds import crowd, looks
from eval.episodes import Episode, Episodes, make_episodes
from eval.protocol import Protocol, gives_feedback
from eval.sessions import Searcher, Timings
from eval.topics import Topic
from eval.users import Judge, PositionBased, User
from index.errors import InputError
from index.types import Ranking
from ranking.clicks.debias import Page
from ranking.feedback import Feedback

DOCS = [f"d{i:02d}" for i in range(20)]
FIRST = Ranking(DOCS, np.arange(20.0, 0.0, -1.0))
# By rank: relevant at even places, judged not relevant at 1, 3, 5, grade 1 (between) at 7, unjudged at 9, 11, ...
JUDGED = {**dict.fromkeys(DOCS[::2], 2), "d01": 0, "d03": 0, "d05": 0, "d07": 1}
SPEC = CollectionSpec("here", relevant=2)


def collection(qrels: Mapping[str, Mapping[str, int]], spec: CollectionSpec = SPEC, **topic: str) -> Collection:
    topics = {name: Topic(name, title="words", **topic) for name in qrels}
    return Collection("made", spec, topics, qrels, lambda _: iter(()), "corpus")


def episodes(
    protocol: Protocol,
    qrels: Mapping[str, Mapping[str, int]] | None = None,
    user: User | None = None,
    spec: CollectionSpec = SPEC,
    first: Ranking = FIRST,
    **topic: str,
) -> Episodes:
    made = collection(qrels or {"t": JUDGED}, spec, **topic)
    queries, firsts = dict.fromkeys(made.topics, "words"), dict.fromkeys(made.topics, first)
    return make_episodes(made, protocol, user or Judge(), queries, firsts, {})


def feedback(episode: Episode, k: int) -> tuple[list[str], list[str]]:
    grades = episode.feedback[k]
    return [d for d, grade in grades.items() if grade == 1], [d for d, grade in grades.items() if grade == 0]


def test_feedback_is_taken_from_the_top_in_rank_order_and_removed_for_every_k() -> None:
    (episode,) = episodes(Protocol(k=(1, 3))).kept
    assert feedback(episode, 1) == (["d00"], ["d01"])
    assert feedback(episode, 3) == (["d00", "d02", "d04"], ["d01", "d03", "d05"])
    assert sorted(episode.removed) == ["d00", "d01", "d02", "d03", "d04", "d05"]
    assert episode.given(1).ids == ("d01", "d00")
    assert episode.given(3).relevance.sum() == 3


def test_a_k_larger_than_the_judged_documents_drops_the_topic_and_says_so() -> None:
    with pytest.raises(InputError, match=r"No topic .*fewer than 4 non-relevant documents \(1 topics\).*smaller k"):
        episodes(Protocol(k=(1, 4), negatives="judged"))
    with pytest.raises(InputError, match="fewer than 11 relevant documents"):
        episodes(Protocol(k=(11,)))


def test_k_zero_is_no_feedback() -> None:
    (episode,) = episodes(Protocol(k=(0, 2))).kept
    assert len(episode.given(0)) == 0
    assert len(episode.given(2)) == 4


def test_topics_are_dropped_by_reason() -> None:
    qrels = {"good": JUDGED, "poor": {"d00": 2, "d01": 0}, "one-sided": dict.fromkeys(DOCS[:5], 2)}
    qrels["spent"] = {"d00": 2, "d02": 2, "d01": 0, "d03": 0}
    found = episodes(Protocol(k=(2,), negatives="judged"), qrels)
    assert found.topics == ["good"]
    assert found.dropped == {
        "the first ranking has fewer than 2 relevant documents": ["poor"],
        "the first ranking has fewer than 2 non-relevant documents": ["one-sided"],
        "no relevant document is left to find": ["spent"],
    }


def test_collections_that_judge_only_positives_use_unjudged_documents_and_say_so() -> None:
    positives = dict.fromkeys(DOCS[::2], 2)
    found = episodes(Protocol(k=(4,)), {"t": positives})
    assert feedback(found.kept[0], 4)[1] == ["d01", "d03", "d05", "d07"]
    assert found.facts["non-relevant feedback documents that are unjudged"] == 4
    assert "judges hardly any documents not relevant" in found.notes[0]
    assert found.notes[1] == "Of the non-relevant feedback documents 100% are unjudged."


def test_collections_that_judge_too_few_documents_not_relevant_use_unjudged_ones_too() -> None:
    assert feedback(episodes(Protocol(k=(3,))).kept[0], 3)[1] == ["d01", "d03", "d05"]
    found = episodes(Protocol(k=(4,)))
    assert feedback(found.kept[0], 4)[1] == ["d01", "d03", "d05", "d09"]
    assert "judges few documents not relevant" in found.notes[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"negatives": "judged"}, ["d01", "d03", "d05"]),
        ({"negatives": "unjudged"}, ["d01", "d03", "d05"]),
        ({"negatives": "fill", "k": (5,), "fill_from": 12}, ["d01", "d03", "d05", "d13", "d15"]),
        ({"negatives": "unjudged", "k": (5,)}, ["d01", "d03", "d05", "d09", "d11"]),
    ],
)
def test_where_non_relevant_feedback_comes_from(options: dict[str, Any], expected: list[str]) -> None:
    """A grade between not relevant and relevant is neither."""
    found = episodes(Protocol(**{"k": (3,), **options}))
    assert feedback(found.kept[0], len(expected))[1] == expected
    if len(expected) == 5:
        assert found.notes[-1] == "Of the non-relevant feedback documents 40% are unjudged."


def test_least_judgements() -> None:
    assert episodes(Protocol(k=(2,), min_judged=3)).topics == ["t"]
    with pytest.raises(InputError, match="fewer than 4 documents are judged not relevant"):
        episodes(Protocol(k=(2,), min_judged=4))


def test_an_empty_query_drops_the_topic() -> None:
    made = collection({"t": JUDGED})
    with pytest.raises(InputError, match="the query is empty"):
        make_episodes(made, Protocol(k=(2,)), Judge(), {"t": "  "}, {"t": FIRST}, {})


def test_documents_that_do_not_exist_are_no_feedback_and_not_relevant() -> None:
    made = collection({"t": {**JUDGED, "gone": 2}})
    found = make_episodes(made, Protocol(k=(2,)), Judge(), {"t": "words"}, {"t": FIRST}, {"t": ["gone"]})
    assert found.facts["judged documents that the collection lacks"] == 1
    only = collection({"t": {**dict.fromkeys(DOCS[:2], 2), "d03": 0, "d05": 0, "gone": 2}})
    with pytest.raises(InputError, match="no relevant document is left"):
        make_episodes(only, Protocol(k=(2,)), Judge(), {"t": "words"}, {"t": FIRST}, {"t": ["gone"]})


def test_the_query_document_can_be_left_out() -> None:
    spec = CollectionSpec("here", relevant=2, skip_query_document=True)
    assert episodes(Protocol(k=(2,)), {"d08": JUDGED}, spec=spec).kept[0].removed[-1] == "d08"
    assert episodes(Protocol(k=(2,)), document="d10").kept[0].removed[-1] == "d10"


def test_control_takes_feedback_from_one_half_and_removes_nothing_else() -> None:
    (episode,) = episodes(Protocol(k=(1,), residual="control")).kept
    assert all(map(gives_feedback, episode.feedback[1]))


def test_clicks_of_a_judge_are_the_relevant_documents_of_the_page() -> None:
    protocol = Protocol(k=(2, 9), feedback="clicks", page=6)
    (episode,) = episodes(protocol).kept
    assert feedback(episode, 9) == (["d00", "d02", "d04"], ["d01", "d03"])  # d05 is below the last click
    assert feedback(episode, 2) == (["d00", "d02"], ["d01", "d03"])
    assert list(episode.removed) == DOCS[:6]
    (ignoring,) = episodes(Protocol(k=(9,), feedback="clicks", page=6, skipped="ignored")).kept
    assert feedback(ignoring, 9) == (["d00", "d02", "d04"], [])


def test_noisy_clicks_are_counted_and_depend_on_the_seed() -> None:
    qrels = {f"t{i}": JUDGED for i in range(30)}
    user = PositionBased(noise=0.5)
    found = episodes(Protocol(k=(4,), feedback="clicks"), qrels, user)
    assert found.facts["relevant feedback documents that are not judged relevant"] > 0
    assert found.facts["topics without feedback"] == sum(not e.feedback[4] for e in found.kept)
    assert "clicked nothing" in found.notes[-1]
    assert found == episodes(Protocol(k=(4,), feedback="clicks"), qrels, user)
    assert found != episodes(Protocol(k=(4,), feedback="clicks", user_seed=1), qrels, user)


def test_episodes_survive_the_cache() -> None:
    import json

    found = episodes(Protocol(k=(1, 3)))
    assert Episodes.from_json(json.loads(json.dumps(found.to_json()))) == found


def session(protocol: Protocol, user: User | None = None) -> tuple[list[Feedback], list[Any]]:
    """A ranker that always gives the same list, and what it was told."""
    told: list[Feedback] = []

    def rank(feedback: Feedback) -> tuple[Ranking, Timings]:
        told.append(feedback)
        return FIRST, {"total": 1.0}

    searcher = Searcher(protocol, SPEC, user or Judge(), "judged", 2)
    return told, searcher.session(Episode("t", "words", {}), JUDGED, 2, rank)


def test_in_a_session_feedback_grows_by_pages() -> None:
    told, answers = session(Protocol(rounds=2, residual="none", page=4))
    assert [set(feedback.ids) for feedback in told] == [
        set(),
        {"d00", "d01", "d02", "d03"},
        {"d00", "d01", "d02", "d03", "d04", "d05", "d06"},  # d07 is neither relevant nor not
    ]
    assert len(answers) == 3
    assert all(answer.ranking.ids == tuple(DOCS) for answer in answers)


def test_a_session_can_be_measured_on_what_was_not_shown() -> None:
    _, answers = session(Protocol(rounds=2, residual="seen", page=4))
    assert [answer.ranking.ids for answer in answers] == [tuple(DOCS), tuple(DOCS[4:]), tuple(DOCS[8:])]
    assert [answer.removed for answer in answers] == [(), tuple(DOCS[:4]), tuple(DOCS[:8])]


def test_a_session_with_control_shows_one_half_and_measures_the_other() -> None:
    told, answers = session(Protocol(rounds=3, residual="control", page=3))
    assert all(gives_feedback(doc) for feedback in told for doc in feedback.ids)
    assert {answer.ranking.ids for answer in answers} == {tuple(d for d in DOCS if not gives_feedback(d))}


def test_a_session_of_clicks() -> None:
    told, _ = session(Protocol(rounds=2, residual="none", page=4, feedback="clicks"))
    assert told[1].positive.ids == ("d00", "d02")
    assert told[1].negative.ids == ("d01",)


def test_a_session_of_debiased_clicks() -> None:
    """The same clicks, read otherwise: soft grades for all that was looked at, and next to none for the rest."""
    protocol = Protocol(rounds=2, residual="none", page=4, feedback="clicks")
    told: list[Feedback] = []

    def rank(feedback: Feedback) -> tuple[Ranking, Timings]:
        told.append(feedback)
        return FIRST, {"total": 1.0}

    searcher = Searcher(protocol, SPEC, Judge(), "judged", 2)
    searcher.session(Episode("t", "words", {}), JUDGED, 2, rank, "debiased")
    assert [len(feedback) for feedback in told] == [0, 4, 8]
    grades = dict(zip(told[1].ids, told[1].relevance.tolist(), strict=True))
    assert min(grades["d00"], grades["d02"]) > max(grades["d01"], grades["d03"])
    weights = dict(zip(told[1].ids, told[1].weight.tolist(), strict=True))
    assert weights["d00"] == 1.0 > weights["d01"] > weights["d03"] > 0.0
    told.clear()
    searcher.session(Episode("t", "words", {}), JUDGED, 2, rank, "judgements")
    assert set(told[1].relevance.tolist()) == {0.0, 1.0}


def test_those_who_searched_before_teach_a_click_model() -> None:
    shown, judged = {"t": DOCS, "u": []}, {"t": JUDGED, "u": {}}
    protocol = Protocol(rounds=2, residual="none", page=4, searchers=40)
    pages = list(looks(shown, judged, Judge(), 2, protocol, 2))
    assert len(pages) == 80
    assert {topic for topic, _ in pages} == {"t"}
    for _, page in pages:
        assert len(page.documents) == 4
        assert page.clicked == {doc for doc in page.documents if JUDGED.get(doc, 0) == 2}
    fitted = crowd("pbm", pages, 4)
    code = fitted.vocabulary.find("t", "d00")
    clicked, skipped = fitted.model.evidence([code])
    assert clicked[0] > 30 > skipped[0]
    assert fitted.vocabulary.queries == ["t"]
    nobody = crowd("pbm", looks(shown, judged, Judge(), 2, replace(protocol, searchers=0), 2), 4)
    assert nobody.vocabulary.find("t", "d00") == -1


def test_some_of_those_who_searched_before_go_on_to_the_next_page() -> None:
    def seen(**choices: Any) -> list[tuple[str, Page]]:
        protocol = Protocol(page=2, searchers=400, **choices)
        return list(looks({"t": DOCS}, {"t": JUDGED}, PositionBased(), 2, protocol, protocol.pages))

    assert len(seen()) == len(seen(pages=3, going_on=0.0)) == 400
    assert len(seen(pages=3)) == 1200
    half = len(seen(pages=3, going_on=0.5)) - 400
    # 400 go on to the second page with 1/2 and to the third with 1/4: 300 pages, standard deviation 14.
    assert abs(half - 300) < 70
