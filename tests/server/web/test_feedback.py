"""Feedback: marks, clicks, the re-ranked list, movement and why."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Route, expect

from tests.server.web.browsing import Opener, hit, ids, mark, reranked

pytestmark = pytest.mark.browser


def test_marking_a_hit_reranks_in_place_and_shows_how_far_each_moved(visit: Opener) -> None:
    page, watch = visit("python")
    before = ids(page)
    document = [name for name in before if name.startswith("snake/")][-1]
    page.evaluate("window.samePage = true")
    mark(page, document, "relevant")
    after = ids(page)
    assert after.index(document) < before.index(document)
    assert sum(name.startswith("snake/") for name in after) > sum(name.startswith("snake/") for name in before)
    assert page.evaluate("window.samePage")
    for now, name in enumerate(after):
        if name in before:
            places = before.index(name) - now
            shown = hit(page, name).locator(".moved > [aria-hidden]").inner_text()
            assert shown == ("" if places == 0 else f"▲ {places}" if places > 0 else f"▼ {-places}")
    places = before.index(document) - after.index(document)
    expect(hit(page, document).locator(".moved")).to_contain_text(f"moved up {places} place")
    expect(page.locator("#announcer")).to_contain_text(re.compile(r"^Re-ranked: \d+ of 10 moved"))
    expect(hit(page, document).locator("[data-act=relevant]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#marks .mark")).to_have_count(1)
    assert [body["kind"] for body in watch.sent("/v1/feedback")] == ["relevant"]
    assert watch.sent("/v1/feedback")[0]["position"] == before.index(document) + 1


def test_documents_that_feedback_brings_in_are_new(visit: Opener) -> None:
    page, _ = visit("boa")
    assert ids(page) == ["boa"]
    mark(page, "boa", "relevant")
    assert ids(page) == ["boa", "lamp"]
    expect(hit(page, "lamp").locator(".moved")).to_contain_text("new in the ranking")
    expect(page.locator("#status")).to_have_text("2 results · round 2: 0 of 2 moved, 1 new")
    expect(page.locator("#announcer")).to_have_text("Re-ranked: 0 of 2 moved, 1 new")
    hit(page, "lamp").locator(".why-toggle").click()
    expect(hit(page, "lamp").locator(".why")).to_contain_text("Your feedback brought it in.")


def test_feedback_survives_reranking_reload_and_another_pipeline(visit: Opener) -> None:
    page, watch = visit("python")
    good = ids(page)[2]
    mark(page, good, "relevant")
    mark(page, ids(page)[7], "not_relevant")
    expect(page.locator("#marks .mark")).to_have_count(2)
    page.reload()
    expect(page.locator("#marks .mark")).to_have_count(2)
    expect(hit(page, good)).to_have_attribute("data-mark", "relevant")
    with reranked(page):
        page.get_by_label("Ranking", exact=True).select_option(label="bm25-qe")
    assert "pipeline=bm25-qe" in page.url
    expect(page.locator("#marks .mark")).to_have_count(2)
    expect(page.locator("#about dl")).to_contain_text("bm25-qe")
    with reranked(page):
        page.go_back()
    expect(page.locator("#about dl")).to_contain_text("smoothed")
    assert len({body["query_id"] for body in watch.sent("/v1/feedback")}) == 1


def test_feedback_can_be_changed_and_taken_back(visit: Opener) -> None:
    page, _ = visit("python")
    before = ids(page)
    document = before[5]
    mark(page, document, "relevant")
    mark(page, document, "not_relevant")
    expect(hit(page, document)).to_have_attribute("data-mark", "not_relevant")
    expect(page.locator("#marks .mark")).to_have_count(1)
    with reranked(page):
        page.get_by_role("button", name="Take back:").click()
    expect(page.locator("#marks .mark")).to_have_count(0)
    assert ids(page) == before
    mark(page, document, "relevant")
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#status")).to_have_text(re.compile(r"^\d+ results$"))
    assert ids(page) == before


def test_opening_a_document_is_a_click_with_the_time_spent(visit: Opener) -> None:
    page, watch = visit("python")
    document = ids(page)[3]
    hit(page, document).locator(".title").click()
    reader = page.get_by_role("dialog")
    expect(reader.get_by_role("region")).to_contain_text("python", ignore_case=True)
    expect(reader.locator("mark").first).to_be_visible()
    assert f"doc={quote(document, safe='')}" in page.url.replace("+", "%20")
    with reranked(page):
        page.go_back()
    expect(reader).to_be_hidden()
    (click,) = watch.sent("/v1/feedback")
    assert (click["kind"], click["document"], click["position"]) == ("click", document, 4)
    assert isinstance(click["dwell_ms"], int)
    expect(hit(page, document)).to_contain_text("Opened")
    expect(hit(page, document).locator(".title")).to_be_focused()
    page.go_forward()
    expect(reader).to_be_visible()
    with reranked(page):
        reader.get_by_role("button", name="Not this").click()
    expect(reader.get_by_role("button", name="Not this")).to_have_attribute("aria-pressed", "true")
    # A click on a judged document is recorded, but says nothing new: the list and its movements stay.
    status = page.locator("#status").inner_text()
    with page.expect_response("**/v1/feedback"):
        page.keyboard.press("Escape")
    assert [event["kind"] for event in watch.sent("/v1/feedback")] == ["click", "not_relevant", "click"]
    expect(page.locator("#status")).to_have_text(status)


def test_why_tells_rank_and_score_of_every_stage(visit: Opener) -> None:
    page, _ = visit("python")
    mark(page, ids(page)[6], "relevant")
    moved = page.locator(".hit", has=page.locator(".moved.up")).first
    toggle = moved.locator(".why-toggle")
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    why = moved.locator(".why")
    assert why.locator("tbody th").all_inner_texts() == ["qe", "knn", "probe", "sum"]
    assert all(re.fullmatch(r"#\d+", text) for text in why.locator("tbody td:nth-child(2)").all_inner_texts())
    expect(why).to_contain_text(re.compile(r"Was \d+, now \d+ with your feedback\."))
    why.locator("summary").click()
    expect(why.locator("pre")).to_contain_text("idf")


def test_a_lost_connection_is_told_and_the_mark_is_withdrawn(visit: Opener) -> None:
    page, watch = visit("python")
    document = ids(page)[2]
    page.route("**/v1/feedback", lambda route: route.abort())
    hit(page, document).locator("[data-act=relevant]").click()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(hit(page, document).locator("[data-act=relevant]")).to_have_attribute("aria-pressed", "false")
    page.unroute("**/v1/feedback")
    mark(page, document, "relevant")
    expect(page.get_by_role("alert")).to_be_hidden()
    keys = [body["idempotency_key"] for body in watch.sent("/v1/feedback")]
    assert keys[0] == keys[1] != keys[2]  # the same event was tried twice
    assert all("net::ERR_FAILED" in line for line in watch.trouble)
    watch.trouble.clear()


def test_leaving_the_page_while_reading_is_a_click_too(visit: Opener, address: str) -> None:
    page, _ = visit("python")
    document = ids(page)[0]
    page.locator(".title").first.click()
    expect(page.locator("#reader-content .text")).to_be_visible()
    page.reload()
    expect(page.get_by_role("dialog")).to_be_visible()  # the address still names the document
    # The browser sends the event after the page is gone, and tells nobody: ask the server until it has come.
    again = {"query_id": page.evaluate("history.state.queryId")}
    rounds = (page.request.post(f"{address}/v1/search", data=again).json()["feedback"] for _ in range(500))
    (known,) = next(filter(None, rounds))
    assert (known["kind"], known["document"]) == ("click", document)


def test_what_a_click_model_makes_of_documents_passed_over_is_no_mark_of_the_searchers(visit: Opener) -> None:
    page, _ = visit("python")
    snakes = [name for name in ids(page) if name.startswith("snake/")]  # alike, so that one brings the others along
    opened, *passed = snakes[:3][::-1]

    def with_click_model(route: Route) -> None:
        answer = route.fetch().json()
        if answer["round"] > 1:
            answer["feedback"] += [
                {"document": name, "kind": "skipped", "relevance": 0.1, "weight": 0.3} for name in passed
            ]
        route.fulfill(json=answer)

    page.route("**/v1/search", with_click_model)
    with reranked(page):
        hit(page, opened).locator(".title").click()
        page.keyboard.press("Escape")
    expect(page.locator("#marks .mark")).to_have_count(1)
    expect(hit(page, opened)).to_have_attribute("data-mark", "click")
    for name in passed:
        expect(hit(page, name)).to_have_attribute("data-mark", "none")
    page.locator("#about summary").click()
    expect(page.locator("#about dl")).to_contain_text(re.compile(r"Passed over\s*2 documents, by the click model"))
    page.reload()
    expect(page.locator("#marks .mark")).to_have_count(1)
