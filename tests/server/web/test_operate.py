"""The operating page: cards of charts with their numbers, in a real headless Chromium under the strict policy."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from server.schemas import Answer
from server.schemas_catalog import ArmInfo, DuelInfo, ExperimentInfo, ExperimentsAnswer, InterleavingAnswer
from server.schemas_jobs import JobAnswer, JobProblem, JobProgress, JobsAnswer
from server.schemas_operation import ReleaseInfo, ReleasesAnswer
from tests.server.web.browsing import Opener, cut_in_cards, faults, fits

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


def job(number: int, **more: object) -> JobAnswer:
    plain = {"attempts": 1, "cancelling": False, "created": "2026-01-01T10:00:00+00:00", "started": None}
    plain |= {"finished": None, "job": {}, "progress": None, "result": None, "problem": None}
    return JobAnswer.model_validate({"id": number, "kind": "rerank", "state": "running", **plain, **more})


UNSURE = {"index": "pets", "low": -0.1, "high": 0.2, "p_value": 0.25, "winner": None}
SURE = {"index": "pets", "low": 0.1, "high": 0.3, "p_value": 0.0001, "winner": "second"}
ARMS = [
    ArmInfo(name=name, pages=pages, clicked=90, clicks=120, clicks_per_page=1.2, mrr=0.5)
    for name, pages in (("serving", 200), ("canary", 100))
]
DUEL = {"method": "team-draft", "first": "fused", "second": "bm25", "pages": 300, "clicked": 120}
DUEL |= {"first_wins": 70, "second_wins": 45, "ties": 5, "preference": 0.05}
TRIAL = {"experiment": "canary:3", "arms": ARMS, "pairs": 100, "difference": -0.2}
RELEASE = {"id": 3, "kind": "index", "name": "pets", "released": "2026-01-01T10:00:00+00:00"}
ANSWERS: dict[str, Answer] = {
    "v1/interleaving*": InterleavingAnswer(confidence=0.95, duels=[DuelInfo.model_validate(DUEL | UNSURE)]),
    "v1/experiments*": ExperimentsAnswer(confidence=0.95, experiments=[ExperimentInfo.model_validate(TRIAL | SURE)]),
    "admin/releases": ReleasesAnswer(
        releases=[ReleaseInfo.model_validate(RELEASE | {"target": "000002", "share": 0.1})]
    ),
    "v1/jobs*": JobsAnswer(
        jobs=[
            job(4, progress=JobProgress(stage="rerank", done=250, total=1000, remaining_s=41.2)),
            job(3, cancelling=True, progress=JobProgress(stage="reading", done=1200, total=None)),
            job(
                2,
                state="failed",
                problem=JobProblem(kind="not-found", message="There is no <b>x</b>.", advice="Mend it."),
            ),
            job(1, state="queued"),
            job(0, state="done", progress=JobProgress(stage="finishing", done=1200, total=1200, rejected=3)),
        ],
        next=None,
    ),
}
"""What a service with experiments, a canary and jobs answers, in the words of its own schemas."""


def answers(page: Page, path: str, answer: Answer) -> None:
    """Have the page hear this from the server."""
    page.route(f"**/{path}", lambda route: route.fulfill(json=answer.model_dump(mode="json")))


def test_the_cards_of_experiments_releases_and_jobs(visit: Opener) -> None:
    page, _ = visit()
    for path, answer in ANSWERS.items():
        answers(page, path, answer)
    page.goto(f"{page.url}operate")
    drawn(page)
    for name in ("duels", "experiments"):
        chart = page.locator(f"#experiments figure[aria-label$='{name}']")
        chart.locator("summary").click()
        expect(chart.locator("svg .mark-symbol path")).to_have_count(1)
    duel, trial = (row.locator("td") for row in page.locator("#experiments tbody tr").all())
    expect(duel).to_have_text(
        ["team-draft", "120 of 300", "70", "45", "0.050", "-0.100 \u2013 0.200", "0.250", "not sure yet"]
    )
    arms = "serving: 90 of 200 pages clicked, MRR 0.500; canary: 90 of 100 pages clicked, MRR 0.500"
    expect(trial).to_have_text([arms, "-0.200", "0.100 \u2013 0.300", "<.001", "canary"])
    activated = page.locator("#generations [aria-label=Activated] tbody tr")
    expect(activated).to_have_text(re.compile(r"^index pets\s*000002\s*10\.0%"))
    rows = page.locator("#jobs tbody tr")
    expect(rows.locator("td:nth-of-type(2)")).to_have_text(["running", "cancelling", "failed", "queued", "done"])
    told = [" rerank: 25.0%, 42 s left", "reading: 1,200", "There is no <b>x</b>. Mend it.", "\u2013"]
    told += ["1,200 read, 3 rejected"]
    expect(rows.locator("td:nth-of-type(3)")).to_have_text(told)
    assert rows.first.locator("progress").get_attribute("value") == "250"
    assert faults(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(visit: Opener, scheme: str) -> None:
    page, _ = visit(path="/operate", width=360, color_scheme=scheme)
    drawn(page)
    assert fits(page)
    for summary in page.locator(".numbers summary").all():
        summary.click()
    assert fits(page)
    assert faults(page) == []


LONG = [f"a-pipeline-with-a-rather-long-name-{number}" for number in range(8)]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1280, "light")])
def test_nothing_is_cut_by_the_edge_of_its_card(visit: Opener, width: int, scheme: str) -> None:
    page, _ = visit(width=width, color_scheme=scheme)
    for path, answer in ANSWERS.items():
        answers(page, path, answer)
    traffic = page.request.get(f"{page.url}v1/operation/traffic").json()
    for number, row in enumerate(traffic["searches"]):
        row["pipeline"] = LONG[number % len(LONG)]
    page.route("**/v1/operation/traffic*", lambda route: route.fulfill(json=traffic))
    page.goto(f"{page.url}operate")
    drawn(page)
    for chart in page.locator("#experiments .chart").all():
        chart.evaluate("node => node.scrollIntoView()")
        expect(chart.locator("svg .mark-symbol path")).to_have_count(1)
    assert cut_in_cards(page) == []
    for name in ("searches", "latency"):
        words = page.locator(f"#{name} .legend li")
        assert words.all_inner_texts()[: len(LONG)] == LONG
        assert page.locator(f"#{name} .legend").evaluate("node => node.scrollWidth <= node.clientWidth")
    assert page.locator("#latency .legend li").all_inner_texts()[len(LONG) :] == ["median", "95%"]
    keys = page.locator("#searches .key").evaluate_all("all => all.map((key) => getComputedStyle(key).backgroundColor)")
    bars = page.locator("#searches svg [aria-roledescription=bar]").evaluate_all(
        "all => all.map((bar) => [bar.getAttribute('aria-label'), getComputedStyle(bar).fill])"
    )
    assert len(bars) > len(LONG)
    assert all(keys[LONG.index(str(re.search(r"pipeline: ([\w-]+)", label)[1]))] == fill for label, fill in bars)
    lists = page.locator("table.stacks")
    expect(lists).to_have_count(4)
    for one in lists.all():
        assert one.evaluate("node => node.scrollWidth <= node.closest('.scroll').clientWidth")
    stacked = width < 600
    cell = page.locator("#jobs tbody td").first
    assert cell.evaluate("node => getComputedStyle(node, '::before').content") == ('"Kind"' if stacked else "none")
    assert (cell.bounding_box() or {})["width"] > 200 or not stacked
    assert faults(page) == []


def test_what_is_wrong_with_an_index_or_a_job_is_in_its_row(visit: Opener) -> None:
    page, _ = visit()
    indexes = page.request.get(f"{page.url}v1/indexes").json()
    indexes["indexes"][0]["problem"] = "The directory /x is gone."
    page.route("**/v1/indexes", lambda route: route.fulfill(json=indexes))
    answers(page, "v1/jobs*", JobsAnswer(jobs=[job(1, unread=["job: no JSON object"])], next=None))
    page.goto(f"{page.url}operate")
    drawn(page)
    expect(page.locator("#generations [aria-label=Indexes]")).to_contain_text("The directory /x is gone.")
    expect(page.locator("#jobs tbody")).to_contain_text("This version cannot read all of it. job: no JSON object.")
