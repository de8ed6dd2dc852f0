"""How the page looks and moves, and that it needs no mouse."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.server.web.browsing import Opener, contrasts, fits, hit, ids, mark, reranked

pytestmark = pytest.mark.browser


def test_the_focused_hit_shows_a_ring(visit: Opener) -> None:
    page, _ = visit("python")
    page.keyboard.press("j")
    ring = page.locator(".hit").first.evaluate("node => getComputedStyle(node).outlineStyle")
    assert ring == "solid"


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_is_wider_than_the_window(visit: Opener, width: int) -> None:
    page, _ = visit(width=width, height=780)
    assert fits(page)
    condition = quote('not kind == "nothing"')
    page.goto(f"{page.url}?q=python+trap+marathons&filter={condition}")
    page.locator(".hit").first.wait_for()
    assert fits(page)
    mark(page, ids(page)[4], "relevant")
    mark(page, ids(page)[2], "not_relevant")
    page.locator(".why-toggle").first.click()
    page.locator(".why summary").first.click()
    page.locator("#about summary").click()
    assert fits(page)
    page.locator(".title").first.click()
    expect(page.locator("#reader-content .text")).to_be_visible()
    assert fits(page)
    assert page.locator("#reader-content").evaluate("node => node.scrollWidth <= node.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_good_contrast(visit: Opener, scheme: str) -> None:
    page, _ = visit("boa zebra marathons trap", color_scheme=scheme)  # few enough to stay on one page
    mark(page, ids(page)[1], "not_relevant")
    mark(page, ids(page)[2], "relevant")
    page.mouse.move(0, 0)
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert (max(red, green, blue) < 64) if scheme == "dark" else (min(red, green, blue) > 240)
    selectors = [
        *("#status", ".title", ".snippet", "mark", ".rank", ".moved.up", ".moved.down", ".tag", ".tag-name"),
        *(".judge[aria-pressed=true]", ".judge.not_relevant[aria-pressed=true]", ".judge[aria-pressed=false]"),
        *("[data-mark=not_relevant] .title", "[data-mark=not_relevant] .snippet"),
        *(".why-toggle", ".mark-title", "#start-over", "#about summary", ".choices label", ".button.primary", "kbd"),
    ]
    assert {name: ratio for name, ratio in contrasts(page, selectors).items() if ratio < 4.5} == {}


def test_motion_is_short_and_can_be_switched_off(visit: Opener) -> None:
    count = """() => {
      window.moves = [];
      const animate = Element.prototype.animate;
      Element.prototype.animate = function (frames, options) {
        window.moves.push(options.duration);
        return animate.call(this, frames, options);
      };
    }"""
    for preference, moving in [("no-preference", True), ("reduce", False)]:
        page, _ = visit("python", reduced_motion=preference)
        page.evaluate(count)
        mark(page, ids(page)[6], "relevant")
        moves = page.evaluate("window.moves")
        assert bool(moves) is moving
        assert all(duration <= 500 for duration in moves)


def test_everything_works_by_keyboard_alone(visit: Opener) -> None:
    page, _ = visit("python")
    press = page.keyboard.press
    press("/")
    press("j")
    expect(page.locator(".title").nth(0)).not_to_be_focused()
    expect(page.get_by_label("Search", exact=True)).to_have_value("j")  # it was selected, to be typed over
    press("ArrowDown")
    expect(page.locator(".title").nth(0)).to_be_focused()
    for key, place in [("j", 1), ("ArrowDown", 2), ("k", 1), ("ArrowUp", 0), ("k", 0), ("j", 1)]:
        press(key)
        expect(page.locator(".title").nth(place)).to_be_focused()
    document = ids(page)[1]
    with reranked(page):
        press("n")
    expect(hit(page, document)).to_have_attribute("data-mark", "not_relevant")
    if document in ids(page):
        expect(hit(page, document).locator(".title")).to_be_focused()
    press("/")
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    press("ArrowDown")
    good = ids(page)[0]
    with reranked(page):
        press("r")
    expect(hit(page, good)).to_have_attribute("data-mark", "relevant")
    press("w")
    expect(hit(page, good).locator(".why")).to_be_visible()
    press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(hit(page, good).locator(".title")).to_be_focused()
    press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.get_by_label("Use single-letter shortcuts").uncheck()
    press("Escape")
    page.locator(".title").nth(1).focus()
    press("j")
    expect(page.locator(".title").nth(1)).to_be_focused()
