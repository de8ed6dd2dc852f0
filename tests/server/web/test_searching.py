"""Searching, paging, reading and the address, in a real headless Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.server.web.browsing import EVIL, LONG, Opener, hit, ids, mark

pytestmark = pytest.mark.browser


def test_a_search_shows_hits_with_titles_tags_and_marked_words(visit: Opener) -> None:
    page, _ = visit()
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    expect(page.locator("#examples")).to_be_hidden()  # they are questions about Python's documentation
    page.keyboard.type("python snake")
    page.keyboard.press("Enter")
    expect(page.locator(".hit")).to_have_count(10)
    assert page.url.endswith("/?q=python+snake")
    assert page.title() == "python snake \u2013 Clickwise"
    first = page.locator(".hit").first
    assert ids(page)[0].startswith("snake/")
    assert {text.lower() for text in first.locator("mark").all_inner_texts()} == {"python", "snake"}
    expect(first.locator(".tag").first).to_have_text("kind animal")
    expect(page.locator("#status")).to_have_text("20 results")
    expect(page.locator("#announcer")).to_have_text("20 results for python snake")


def test_show_more_stays_inside_the_ranking(visit: Opener) -> None:
    page, watch = visit("python")
    first = ids(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".hit")).to_have_count(19)
    assert ids(page)[:10] == first
    assert len(set(ids(page))) == 19
    expect(page.locator("#more")).to_be_hidden()
    expect(page.locator(".hit .title").nth(10)).to_be_focused()
    mark(page, ids(page)[15], "relevant")
    expect(page.locator(".hit")).to_have_count(19)
    assert [body.get("offset", 0) for body in watch.sent("/v1/search")] == [0, 10, 0]
    assert watch.sent("/v1/search")[2]["limit"] == 19


def test_the_back_button_walks_through_searches(visit: Opener) -> None:
    page, _ = visit("python")
    snakes = ids(page)
    mark(page, snakes[4], "relevant")
    box = page.get_by_label("Search", exact=True)
    box.fill("marathons")
    page.keyboard.press("Enter")
    expect(page.locator(".hit")).to_have_count(1)
    page.go_back()
    expect(box).to_have_value("python")
    expect(page.locator(".hit")).to_have_count(10)
    expect(page.locator("#marks .mark")).to_have_count(1)  # and what was said then still counts
    page.go_forward()
    expect(box).to_have_value("marathons")
    expect(page.locator(".hit")).to_have_count(1)
    page.get_by_role("link", name="Clickwise").click()
    expect(page.locator("#welcome")).to_be_visible()


def test_a_server_that_warms_up_is_asked_again(visit: Opener) -> None:
    page, watch = visit()
    problem = {"title": "The service is not ready", "status": 503, "detail": "Not yet.", "advice": "Wait."}
    busy = [problem]
    page.route("**/v1/indexes", lambda route: route.fulfill(status=503, json=busy.pop()) if busy else route.continue_())
    page.goto(f"{page.url}?q=python")
    expect(page.get_by_role("alert")).to_contain_text("Not yet. Wait.")
    expect(page.locator(".hit")).to_have_count(10)
    expect(page.get_by_role("alert")).to_be_hidden()
    watch.expected(page, "status of 503", times=1)


def test_a_busy_server_is_asked_again_when_it_says(visit: Opener) -> None:
    page, watch = visit()
    problem = {"title": "The service is busy", "status": 429, "detail": "Too many wait.", "advice": "Wait."}
    turned_away = [(0, problem)] * 2

    def busy(route: Route) -> None:
        if turned_away:
            seconds, told = turned_away.pop()
            route.fulfill(status=429, headers={"Retry-After": str(seconds)}, json=told)
        else:
            route.continue_()

    page.route("**/v1/search", busy)
    page.goto(f"{page.url}?q=python")
    expect(page.locator(".hit")).to_have_count(10)
    expect(page.get_by_role("alert")).to_be_hidden()
    watch.expected(page, "status of 429", times=2)
    turned_away += [(3600, problem)]  # too long to keep a reader waiting without a word
    page.get_by_label("Search", exact=True).fill("python snake")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Too many wait. Wait.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".hit")).to_have_count(10)
    expect(page.get_by_role("alert")).to_be_hidden()
    watch.expected(page, "status of 429", times=1)


def test_nothing_found_is_said(visit: Opener) -> None:
    page, _ = visit()
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    page.keyboard.type("xylophone")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.get_by_label("Search", exact=True).fill("the of and")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text("only stop words")


def test_problems_are_told_with_advice(visit: Opener) -> None:
    page, watch = visit()
    problem = page.get_by_role("alert")
    page.get_by_role("button", name="Search").click()
    expect(problem).to_contain_text("The query is empty.")
    page.get_by_label("Search", exact=True).fill("python")
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Only where").fill("kind =")
    page.keyboard.press("Enter")
    expect(problem).to_contain_text("column 6")
    expect(page.get_by_label("Only where")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".hit")).to_have_count(0)
    page.get_by_label("Only where").fill('kind == "animal"')
    page.keyboard.press("Enter")
    expect(page.locator(".hit")).to_have_count(10)
    expect(problem).to_be_hidden()
    assert all(name.startswith("snake/") for name in ids(page))
    watch.expected(page, "status of 422", times=2)


def test_a_long_document_is_shown_in_parts(visit: Opener) -> None:
    page, _ = visit("marathons")
    page.locator(".title").first.click()
    text = page.locator("#reader-content .text")
    assert len(text.text_content() or "") == 100_000
    page.get_by_role("button", name="Show the rest").click()
    expect(page.get_by_role("button", name="Show the rest")).to_be_hidden()
    assert text.text_content() == LONG


def test_markup_in_documents_is_shown_as_text(visit: Opener) -> None:
    page, watch = visit("trap")
    expect(hit(page, "evil").locator(".title")).to_have_text(f"{EVIL}<script>window.hacked=1</script>")
    expect(hit(page, "evil").locator(".snippet")).to_contain_text(EVIL)
    mark(page, "evil", "relevant")
    hit(page, "evil").locator(".title").click()
    expect(page.locator("#reader-content .text")).to_have_text(f"A trap {EVIL} for the page")
    expect(page.locator("#reader-title")).to_contain_text("<script>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x], #reader script, #hits script").count() == 0
    # The value of a field becomes a filter with its quotes escaped. This also ends the reading, which is a click.
    page.get_by_role("dialog").locator(".tag").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_label("Only where")).to_have_value('kind == "<img src=x onerror=\\"window.hacked=1\\">"')
    expect(page.locator("#status")).to_have_text("1 result")
    assert [event["kind"] for event in watch.sent("/v1/feedback")] == ["relevant", "click"]


def test_marked_words_are_right_after_emoji(visit: Opener) -> None:
    page, _ = visit("zebra")
    assert hit(page, "emoji").locator("mark").all_inner_texts() == ["zebra"]
    hit(page, "emoji").locator(".title").click()
    expect(page.locator("#reader-content mark")).to_have_text(["zebra"])


def test_the_pages_forbid_what_they_do_not_need(visit: Opener) -> None:
    page, watch = visit()
    for path in ("/", "/operate", "/evaluate", "/web/app.js", "/v1/indexes"):
        policy = page.request.get(watch.origin + path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"script-src|style-src|https?:|\*|data:", policy)  # nothing is widened
    web = Path(__file__).parents[3] / "server" / "web"
    text = "\n".join(file.read_text() for file in web.iterdir())
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    for file in web.glob("*.html"):
        assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?! type=\"module\" src=)", file.read_text())
    ran = page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.inline = 1";
      document.head.append(script);
      return window.inline ?? null;
    }""")
    assert ran is None  # the policy is at work
    watch.expected(page, "Content Security Policy", times=1)


def test_a_document_has_an_address_of_its_own(visit: Opener) -> None:
    page, watch = visit()
    page.goto(f"{page.url}?doc=boa")
    reader = page.get_by_role("dialog")
    expect(reader).to_contain_text("It wants a vivarium")
    expect(reader.get_by_role("button", name="More like this")).to_be_hidden()  # there is no query to judge for
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    expect(reader).to_be_hidden()
    assert watch.posts == []
    page.goto(f"{page.url}?doc=no+such")
    expect(reader.get_by_role("alert")).to_contain_text("no such")
    watch.expected(page, "status of 404", times=1)
