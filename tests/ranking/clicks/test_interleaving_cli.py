"""`clickwise clicks interleave`, and the standings behind it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from index.errors import InputError, NotFoundError
from ranking.clicks.interleaving import Duel
from ranking.clicks.interleaving_cli import interleave
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page, Pages
from ranking.clicks.standings import standings

app = typer.Typer()
app.command()(interleave)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pages(duel: Duel, count: int, wanted: str, seed: int = 0) -> list[Page]:
    """Interleaved pages of one question; people click on the wanted document if it is among the first two."""
    made = []
    for number in range(count):
        page = duel.interleave("abcdef", "fedcba", 4, np.random.default_rng([seed, number]))
        clicks = [Event(wanted)] if wanted in page.documents[:2] else []
        made.append(Page(f"{duel.arm}-{number}", "q", page.documents, events=clicks, scores=page.scores, arm=duel.arm))
    return made


@pytest.mark.parametrize("method", ["team-draft", "balanced", "probabilistic"])
def test_who_has_the_wanted_document_on_top_wins(tmp_path: Path, method: str) -> None:
    duel = Duel(method, "old", "new")  # type: ignore[arg-type]
    log = ClickLog.write(tmp_path / "log", pages(duel, 100, "f")).path
    result = call(log)
    assert result.exit_code == 0, result.output
    assert f"old against new ({method}): new wins" in result.output
    assert "100 shown" in result.output
    (answer,) = json.loads(call(log, "--json").output)["duels"]
    assert (answer["winner"], answer["first_wins"]) == ("second", 0)
    assert answer["second_wins"] == answer["clicked"] > 50
    assert answer["p_value"] < 1e-6


def test_equal_rankers_have_no_winner() -> None:
    duel = Duel("team-draft", "a", "b")
    made = []
    for number in range(400):
        page = duel.interleave("abc", "abc", 3, np.random.default_rng(number))
        clicks = [Event(page.documents[0])]
        made.append(Page(str(number), "q", page.documents, events=clicks, scores=page.scores, arm=duel.arm))
    (found,) = standings(made)
    assert found.winner() is None
    low, high = found.test.interval()
    assert low < 0 < high


def test_duels_are_kept_apart_and_other_pages_are_passed_over() -> None:
    one, other = Duel("team-draft", "a", "b"), Duel("team-draft", "a", "c")
    plain = [Page("x", "q", ["a"], events=[Event("a")]), Page("y", "q", ["a"], arm="shuffle:5")]
    rows = [*plain, *pages(one, 20, "a"), *pages(other, 10, "f")]
    expected = {standing.duel: standing.table() for standing in standings(rows)}
    assert [table["pages"] for table in expected.values()] == [20, 10]
    assert {standing.duel: standing.table() for standing in standings([Pages.of(rows)])} == expected
    assert standings(plain) == standings([Pages.of(plain)]) == []


def test_pages_without_their_scores_are_counted_and_tell_nothing() -> None:
    arm = Duel("team-draft", "a", "b").arm
    made = [
        Page("1", "q", ["a", "b"], events=[Event("a")], arm=arm),
        Page("2", "q", ["a", "b"], events=[Event("a")], scores=[1.0], arm=arm),
        Page("3", "q", ["a", "b"], events=[Event("elsewhere")], scores=[1.0, -1.0], arm=arm),
        Page("4", "q", ["a", "b"], events=[Event("b", "judgement", relevance=1.0)], scores=[1.0, -1.0], arm=arm),
        Page("5", "q", ["a", "b"], events=[Event("b"), Event("b")], scores=[1.0, -1.0], arm=arm),
    ]
    (found,) = standings(made)
    assert (found.pages, found.test.pages, found.test.losses) == (5, 1, 1)


def test_what_cannot_be_answered_is_refused(tmp_path: Path) -> None:
    log = ClickLog.write(tmp_path / "log", [Page("x", "q", ["a"])]).path
    assert isinstance(call(log).exception, NotFoundError)
    assert isinstance(call(log, "--confidence", 2).exception, InputError)
    assert isinstance(call(tmp_path / "none").exception, NotFoundError)
