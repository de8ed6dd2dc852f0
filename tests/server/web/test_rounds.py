"""Undo, the trail of rounds, shared links, two rankings beside each other, keys; and that all of it is accessible."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.server.web.browsing import Opener, faults, fits, hit, ids, mark, reranked, serving

pytestmark = pytest.mark.browser


def beside(page: Page) -> list[str]:
    """The documents of the second list, in their order."""
    shown: list[str] = page.locator("#hits-beside .hit").evaluate_all("items => items.map((item) => item.dataset.id)")
    return shown


def test_what_was_said_can_be_undone_step_by_step(visit: Opener) -> None:
    page, watch = visit("python")
    first = ids(page)
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    mark(page, first[5], "relevant")
    second = ids(page)
    mark(page, first[5], "not_relevant")
    with reranked(page):
        page.get_by_role("button", name="Undo").click()
    assert ids(page) == second
    expect(hit(page, first[5])).to_have_attribute("data-mark", "relevant")
    page.locator(".title").first.focus()
    with reranked(page):
        page.keyboard.press("u")
    assert ids(page) == first
    expect(page.locator("#marks .mark")).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    assert [body["kind"] for body in watch.sent("/v1/feedback")] == ["relevant", "not_relevant", "relevant", "none"]


def test_rounds_are_a_trail_that_leads_back(visit: Opener) -> None:
    page, _ = visit("python")
    first = ids(page)
    mark(page, first[5], "relevant")
    second = ids(page)
    mark(page, second[3], "relevant")
    steps = page.locator("#rounds li")
    expect(steps).to_have_count(3)
    expect(steps.nth(0)).to_contain_text("First list")
    expect(steps.nth(1)).to_contain_text(re.compile(r"\+ "))
    expect(steps.nth(2)).to_have_attribute("aria-current", "step")
    page.reload()
    expect(steps.nth(1)).to_contain_text(re.compile(r"\+ "))  # it outlives a reload
    with reranked(page):
        steps.nth(1).get_by_role("button").click()
    assert ids(page) == second
    expect(page.locator("#marks .mark")).to_have_count(1)
    with reranked(page):
        steps.nth(0).get_by_role("button").click()
    assert ids(page) == first


def test_a_shared_link_brings_the_feedback_along(visit: Opener) -> None:
    page, _ = visit("python")
    mark(page, ids(page)[5], "relevant")
    mark(page, ids(page)[8], "not_relevant")
    ranked = ids(page)
    page.get_by_role("button", name="Copy a link to this").click()
    link = page.get_by_label("Link to this search with its feedback").input_value()
    assert re.search(r"\?q=python&more=[^&]+&not=[^&]+$", link)
    other, watch = visit()
    other.goto(link)
    expect(other.locator("#marks .mark")).to_have_count(2)
    assert ids(other) == ranked
    assert other.url.endswith("/?q=python")
    assert [body["relevance"] for body in watch.sent("/v1/search")[0]["feedback"]] == [1, 0]


def test_two_rankings_stand_beside_each_other(visit: Opener) -> None:
    page, watch = visit("python", width=1400)
    page.get_by_label("Beside it").select_option("bm25-qe")
    expect(page.locator("#hits-beside .hit")).to_have_count(10)
    assert page.url.endswith("beside=bm25-qe")
    for place, document in enumerate(ids(page)):
        there = beside(page).index(document) + 1 if document in beside(page) else None
        said = "only here" if there is None else "same place" if there == place + 1 else f"{there} in bm25-qe"
        expect(page.locator(f'#hits [data-id="{document}"] .elsewhere')).to_have_text(said)
    document = ids(page)[6]
    with reranked(page):
        page.locator(f'#hits [data-id="{document}"] [data-act=relevant]').click()
    expect(page.locator("#beside-status")).to_contain_text("moved")  # it has heard, and ranked again
    expect(page.locator(f'#hits-beside [data-id="{document}"]')).to_have_attribute("data-mark", "relevant")
    assert len({body["query_id"] for body in watch.sent("/v1/feedback")}) == 2
    opened = beside(page)[2]
    page.locator(f'#hits-beside [data-id="{opened}"] .title').click()
    with reranked(page):
        page.keyboard.press("Escape")
    clicks = [body for body in watch.sent("/v1/feedback") if body["kind"] == "click"]
    assert [(body["document"], body["position"]) for body in clicks] == [(opened, 3)]  # one click, where it was made
    assert faults(page) == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert fits(page)
    page.locator(".step-news").last.evaluate("node => (node.textContent = 'a long title '.repeat(20))")
    right = "node => node.getBoundingClientRect().right"
    assert page.locator("#rounds").evaluate(right) < page.locator("#feedback").evaluate(right)
    page.get_by_label("Beside it").select_option("")
    expect(page.locator("#hits-beside")).to_be_hidden()
    expect(page.locator(".elsewhere")).to_have_count(0)


def test_the_keys_work_in_the_second_list_too(visit: Opener) -> None:
    page, _ = visit("python", width=1400)
    page.get_by_label("Beside it").select_option("bm25-qe")
    second = page.locator("#hits-beside .hit")
    expect(second).to_have_count(10)
    title = second.locator(".title")
    title.nth(2).focus()
    for key, place in [("j", 3), ("ArrowDown", 4), ("k", 3), ("ArrowUp", 2)]:
        page.keyboard.press(key)
        expect(title.nth(place)).to_be_focused()
    page.keyboard.press("w")
    expect(second.nth(2).locator(".why")).to_be_visible()
    expect(page.locator("#hits .why")).to_have_count(0)
    document = beside(page)[2]
    with reranked(page):
        page.keyboard.press("r")
    expect(page.locator(f'#hits-beside [data-id="{document}"]')).to_have_attribute("data-mark", "relevant")
    expect(page.locator("#marks .mark")).to_have_count(1)


def test_feedback_stays_where_no_index_is_the_default(visit: Opener) -> None:
    """With several indexes and none set, the first one is searched: choosing how to rank it asks nothing new."""
    page, watch = visit()

    def none_is(route: Route) -> None:
        told = route.fetch().json()
        route.fulfill(json={"indexes": [{**one, "default": False} for one in told["indexes"]]})

    page.route("**/v1/indexes", none_is)
    page.goto(f"{page.url}?q=python")
    page.locator(".hit").first.wait_for()
    mark(page, ids(page)[5], "relevant")
    page.get_by_label("Beside it").select_option("bm25-qe")
    expect(page.locator("#hits-beside .hit")).to_have_count(10)
    with reranked(page):
        page.get_by_label("Ranking", exact=True).select_option(label="knn")
    expect(page.locator("#marks .mark")).to_have_count(1)
    new = [body.get("pipeline") for body in watch.sent("/v1/search") if "query" in body]
    assert new == [None, "bm25-qe"]
    assert "index=" not in page.url


def test_what_was_said_beside_and_did_not_arrive_goes_along_with_the_next_round(visit: Opener) -> None:
    page, watch = visit("python", width=1400)
    page.get_by_label("Beside it").select_option("bm25-qe")
    expect(page.locator("#hits-beside .hit")).to_have_count(10)
    failures = [{"title": "Not available", "status": 503, "detail": "The store is away.", "advice": "Wait."}]

    def once(route: Route) -> None:
        if route.request.post_data_json["feedback"] and failures:
            route.fulfill(status=503, json=failures.pop())
        else:
            route.continue_()

    page.route("**/v1/search", once)
    opened = beside(page)[2]
    page.locator(f'#hits-beside [data-id="{opened}"] .title').click()
    page.keyboard.press("Escape")
    expect(page.locator("#problem")).to_be_visible()
    with reranked(page):
        page.locator("#retry").click()
    with reranked(page):
        page.locator("#hits [data-act=relevant]").nth(4).click()
    told = [body["feedback"] for body in watch.sent("/v1/search") if body.get("feedback")]
    assert [[line["document"] for line in lines] for lines in told] == [[opened], [opened]]
    watch.expected(page, "503", 1)


def test_searches_take_part_in_experiments_and_stay_on_their_side(browser: Browser, tmp_path: Path) -> None:
    """A page that has chosen no ranking leaves it to the server; a choice is kept to."""
    ranking = "#about dl"
    with serving(tmp_path, split="smoothed:bm25-qe", split_share=1.0) as url:
        page = browser.new_context().new_page()
        page.goto(f"{url}/?q=python")
        expect(page.locator(ranking)).to_contain_text("bm25-qe")
        mark(page, ids(page)[5], "relevant")
        page.reload()
        expect(page.locator("#marks .mark")).to_have_count(1)
        expect(page.locator(ranking)).to_contain_text("bm25-qe")
        with reranked(page):
            page.get_by_label("Ranking", exact=True).select_option(label="knn")
        expect(page.locator(ranking)).to_contain_text("knn")
        with reranked(page):
            page.go_back()
        expect(page.locator(ranking)).to_contain_text("bm25-qe")
        page.goto(f"{url}/?q=python&pipeline=knn")
        expect(page.locator(ranking)).to_contain_text("knn")
        counted = page.request.get(f"{url}/v1/experiments").json()["experiments"]
        assert [[arm["pages"] for arm in one["arms"]] for one in counted] == [[0, 1]]
        page.context.close()


def test_a_key_is_asked_for_where_the_server_wants_one(visit: Opener) -> None:
    page, watch = visit()
    refusal = {
        "title": "A key is needed",
        "status": 401,
        "detail": "A key is wanted.",
        "advice": "Send one.",
    }

    def guard(route: object) -> None:
        if route.request.headers.get("authorization") == "Bearer cw_right":  # type: ignore[attr-defined]
            route.continue_()  # type: ignore[attr-defined]
        else:
            route.fulfill(status=401, json=refusal)  # type: ignore[attr-defined]

    page.route("**/v1/**", guard)
    page.goto(f"{page.url}?q=python")
    dialog = page.get_by_role("dialog", name="This server wants an API key")
    expect(dialog).to_contain_text("A key is wanted. Send one.")
    assert faults(page) == []
    for key in ("cw_wrong", "cw_right"):
        dialog.get_by_label("API key", exact=True).fill(key)
        dialog.get_by_role("button", name="Use this key").click()
    expect(page.locator(".hit")).to_have_count(10)
    assert page.evaluate("[localStorage.length, sessionStorage.getItem('api-key')]") == [0, "cw_right"]
    assert "cw_" not in page.url
    page.get_by_role("button", name="Forget key").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("A key is wanted.")
    page.wait_for_load_state("networkidle")
    watch.trouble = [line for line in watch.trouble if "401" not in line]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_search_is_accessible(visit: Opener, scheme: str) -> None:
    page, _ = visit(color_scheme=scheme)
    assert faults(page) == []
    page, _ = visit("python", color_scheme=scheme)
    mark(page, ids(page)[4], "relevant")
    page.locator(".why-toggle").first.click()
    page.get_by_role("button", name="Copy a link to this").click()
    assert faults(page) == []
