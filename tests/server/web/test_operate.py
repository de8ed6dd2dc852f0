"""The operating page: cards of charts with their numbers, in a real headless Chromium under the strict policy."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.server.web.browsing import Opener, faults, fits

pytestmark = pytest.mark.browser
CHARTS = ["searches", "latency", "quality", "feedback", "ranks", "propensity"]


def drawn(page: Page) -> None:
    """Wait until every chart is drawn; they are when they come into view."""
    expect(page.locator("#updated")).to_contain_text("As of")
    for name in CHARTS:
        chart = page.locator(f"#{name} .chart")
        chart.evaluate("node => node.scrollIntoView()")
        expect(chart.locator("svg .mark-group").first).to_be_attached()


def test_the_cards_show_the_store_as_charts_and_as_numbers(visit: Opener) -> None:
    page, _ = visit(path="/operate")
    drawn(page)
    expect(page.locator("#figures div").first).to_contain_text("Searches")
    assert page.locator("#searches svg .mark-rect path").count() > 40
    page.locator("#ranks summary").click()
    rows = page.locator("#ranks tbody tr")
    expect(rows).to_have_count(10)
    expect(rows.first).to_have_text(re.compile(r"^16\d\d"))  # rank 1, the 600 pages and those of other tests
    assert page.locator("#ranks svg [aria-roledescription=bar]").count() == 10
    expect(page.locator("#propensity .badge")).to_have_text("Tells, with doubts")
    expect(page.locator("#generations")).to_contain_text("bm25-qe-1")
    expect(page.locator("#experiments")).to_contain_text("No experiment has run")
    expect(page.locator("#jobs")).to_contain_text("No jobs.")
    expect(page.locator("#errors h2")).to_be_visible()
    page.locator("#ranks [aria-roledescription=bar]").first.hover()
    expect(page.locator("#vg-tooltip-element")).to_be_visible()


def test_the_period_and_the_index_stay_in_the_address(visit: Opener) -> None:
    page, _ = visit(path="/operate")
    expect(page.locator("#updated")).to_contain_text("As of")
    week = page.locator("#figures dd").first.inner_text()
    page.locator("[name=days]").select_option("1")
    page.locator("[name=index]").select_option("pets")
    expect(page.locator("#figures dd").first).not_to_have_text(week)
    assert page.url.endswith("/operate?index=pets&days=1")
    page.reload()
    expect(page.locator("[name=days]")).to_have_value("1")
    expect(page.locator("[name=index]")).to_have_value("pets")


def test_a_card_that_fails_leaves_the_others(visit: Opener) -> None:
    page, watch = visit()
    broken = {"title": "Not available", "status": 503, "detail": "The store is away.", "advice": "Wait."}
    page.route("**/v1/operation/clicks*", lambda route: route.fulfill(status=503, json=broken))
    page.route("**/vendor/vega.js", lambda route: route.abort())
    page.goto(f"{page.url}operate")
    expect(page.locator("#ranks .problem")).to_contain_text("The store is away. Wait.")
    expect(page.locator("#searches .chart")).to_contain_text("the tables hold the same numbers")
    page.locator("#searches summary").click()
    expect(page.locator("#searches tbody tr").first).to_contain_text("bm25-qe")
    told = ("503", "ERR_FAILED")  # as the browser itself reports them
    watch.trouble = [line for line in watch.trouble if not any(text in line for text in told)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(visit: Opener, scheme: str) -> None:
    page, _ = visit(path="/operate", width=360, color_scheme=scheme)
    drawn(page)
    assert fits(page)
    for summary in page.locator(".numbers summary").all():
        summary.click()
    assert fits(page)
    assert faults(page) == []
