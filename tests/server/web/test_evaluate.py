"""The evaluation page: runs of a real experiment, in a real headless Chromium under the strict policy."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.server.web.browsing import Opener, faults, fits

pytestmark = pytest.mark.browser


def drawn(page: Page, place: int = 0) -> None:
    """Wait until a chart is drawn; they are when they come into view."""
    chart = page.locator(".chart").nth(place)
    chart.evaluate("node => node.scrollIntoView()")
    expect(chart.locator("svg .mark-group").first).to_be_attached()


def test_from_the_list_to_a_run_to_a_topic_and_back(visit: Opener) -> None:
    page, _ = visit(path="/evaluate")
    page.get_by_role("link", name="first", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("first")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert page.url.endswith("/evaluate?run=first")
    expect(page.locator(".card").first).to_contain_text("nDCG@5 on test topics")
    expect(page.get_by_role("table", name="Every ranker against bm25-qe")).to_contain_text("p corrected")
    drawn(page)
    page.get_by_role("combobox", name="Ranker", exact=True).select_option("fused")
    expect(page.get_by_role("combobox", name="Ranker", exact=True)).to_have_value("fused")
    page.locator(".numbers summary").click()
    line = page.get_by_role("table", name=re.compile("by topic")).locator("tbody tr").first
    asked = line.locator("td").first.inner_text()
    line.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Topic "))
    expect(page.locator(".finding")).to_have_text(asked)
    expect(page.get_by_role("region", name="Ranking of fused").locator("li")).to_have_count(20)
    expect(page.get_by_role("region", name="Ranking of bm25-qe")).to_be_visible()
    page.get_by_role("combobox", name="k", exact=True).select_option("1")
    expect(page.get_by_role("heading", name="Feedback (k = 1)")).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("first")
    page.get_by_label("Where this is").get_by_role("link", name="Evaluate").click()
    expect(page.get_by_role("table", name="Runs").locator("tbody tr")).to_have_count(2)


def test_two_runs_are_compared(visit: Opener) -> None:
    page, _ = visit(path="/evaluate")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("(first and second)|(second and first)"))
    expect(page.get_by_role("table").locator("tbody tr")).to_have_count(3)
    drawn(page)
    assert faults(page) == []


def test_what_is_not_there_is_told(visit: Opener) -> None:
    page, watch = visit(path="/evaluate?run=..%2Fsecret")
    expect(page.get_by_role("alert")).to_contain_text("There is nothing at")
    page.goto(f"{watch.origin}/evaluate?run=nope")
    expect(page.get_by_role("alert")).to_contain_text("There is no run 'nope'")
    watch.expected(page, "status of 404", times=2)


def test_an_empty_folder_says_what_to_do(visit: Opener) -> None:
    page, _ = visit()
    page.route("**/v1/evaluations", lambda route: route.fulfill(json={"folder": "runs", "runs": []}))
    page.goto(f"{page.url}evaluate")
    expect(page.locator(".empty")).to_contain_text("clickwise eval run")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(visit: Opener, scheme: str) -> None:
    page, watch = visit(path="/evaluate?run=first", width=360, color_scheme=scheme)
    drawn(page)
    page.locator(".numbers summary").click()
    assert fits(page)
    assert faults(page) == []
    page.get_by_role("table", name=re.compile("by topic")).get_by_role("link").first.click()
    expect(page.locator(".side")).to_be_visible()
    assert fits(page)
    assert faults(page) == []
    page.goto(f"{watch.origin}/evaluate")
    expect(page.get_by_role("table", name="Runs")).to_be_visible()
    assert fits(page)
    assert faults(page) == []
