"""`clickwise clicks propensity`, from a log on disk to a curve, a plot and a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from index.errors import InputError
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page
from ranking.clicks.propensity import METHODS, NotIdentifiedError, Options, Propensities, estimate, identify
from ranking.clicks.propensity.reading import batches
from ranking.clicks.propensity.show import bars, draw, table
from ranking.clicks.propensity_cli import How, _design, propensity
from ranking.clicks.sessions import Sessions, Vocabulary
from tests.ranking.clicks.clicking import CURVE, World

app = typer.Typer()
app.command()(propensity)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pages(log: Sessions, **given: Any) -> list[Page]:
    made = []
    for row in range(len(log)):
        documents = [str(pair) for pair in log.pair[row] if pair >= 0]
        clicked = [Event(str(pair)) for pair in log.pair[row][log.clicks[row]]]
        own = {name: values[row] for name, values in given.items()}
        arm = log.arms[log.arm[row]] or None
        made.append(Page(f"p{row}", f"q{log.query[row]}", documents, events=clicked, arm=arm, **own))
    return made


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = World(1, queries=40)
    made = world.rankers(6000)
    device = np.where(np.arange(6000) % 3 == 0, "phone", "desk").tolist()
    return ClickLog.write(tmp_path_factory.mktemp("log") / "log", pages(made, device=device)).path


def test_the_curve_is_printed_drawn_and_kept(log: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "curve.json", tmp_path / "curve.svg"
    result = call(log, "--resamples", 20, "--out", out, "--plot", plot)
    assert result.exit_code == 0, result.output
    kept = Propensities.load(out)
    assert kept.method == "harvest"
    assert kept.at([1, 2, 3, 4, 5]) == pytest.approx(CURVE, abs=0.06)
    assert "method: harvest" in result.output
    assert f"{kept.curves[0].propensity[1]:.4f}" in result.output
    assert "6,000 pages" in result.output
    assert plot.read_text().startswith("<?xml")


def test_json_is_one_object(log: Path) -> None:
    result = call(log, "--resamples", 0, "--ranks", 3, "--json")
    answer = json.loads(result.output)
    assert len(answer["curves"][0]["propensity"]) == 3
    assert answer["curves"][0]["low"] == [None] * 3


def test_devices_have_curves_of_their_own(log: Path) -> None:
    answer = json.loads(call(log, "--resamples", 0, "--by-surface", "--json").output)
    assert sorted(curve["surface"] for curve in answer["curves"]) == ["desk", "phone"]
    assert sum(curve["counts"]["pages"] for curve in answer["curves"]) == 6000
    assert "desk" in call(log, "--resamples", 0, "--by-surface").output


def test_a_log_that_cannot_tell_is_refused(tmp_path: Path) -> None:
    where = ClickLog.write(tmp_path / "log", pages(World(2, queries=10).one_ranker(300))).path
    result = call(where)
    assert isinstance(result.exception, NotIdentifiedError)


def swaps(world: World, pages: int, *exchanged: tuple[int, int]) -> Sessions:
    """Half of the pages of a query exchange two ranks (from 1), and its other half none; which two goes by the query:
    so two exchanges never show one document at three ranks."""

    def change(documents: npt.NDArray[np.int64], arm: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        orders = np.tile(np.arange(5), (len(exchanged), 1))
        for order, (one, other) in zip(orders, exchanged, strict=True):
            order[[one - 1, other - 1]] = order[[other - 1, one - 1]]
        which = documents[:, 0] % len(exchanged)  # one ranker: the first document tells the query
        moved = np.take_along_axis(documents, orders[which], axis=1)
        return np.where(arm[:, None] == 1, moved, documents)

    return world.exchanged(pages, change, ("a", "b"))


@pytest.mark.parametrize("method", ["auto", "em"])
def test_the_ranks_that_a_refusal_advises_have_a_curve(tmp_path: Path, method: str) -> None:
    """Rank 3 is connected with rank 1 by rank 5 alone, and rank 4 by nothing: the first 3 would not do."""
    log = swaps(World(5, queries=60), 6000, (1, 2), (1, 5), (3, 5))
    where = ClickLog.write(tmp_path / "log", pages(log)).path
    refusal = call(where, "--method", method, "--resamples", 0).exception
    assert isinstance(refusal, NotIdentifiedError)
    advised = re.search(r"\(--ranks (\d+)\)", refusal.advice)
    assert advised
    assert advised[1] == "2"
    result = call(where, "--method", method, "--resamples", 0, "--ranks", advised[1])
    assert result.exit_code == 0, result.output
    for more in (3, 4):
        assert isinstance(call(where, "--method", method, "--ranks", more).exception, NotIdentifiedError)
    assert identify(log).identified == 2


def test_no_ranks_are_advised_where_none_have_a_curve(tmp_path: Path) -> None:
    """Ranks 1 and 2 are connected by rank 4 alone."""
    log = swaps(World(6, queries=60), 4000, (1, 4), (2, 4))
    refusal = call(ClickLog.write(tmp_path / "log", pages(log)).path).exception
    assert isinstance(refusal, NotIdentifiedError)
    assert "--ranks" not in refusal.advice
    assert identify(log).identified == 1


def test_logged_propensities_are_read_by_rank_and_missing_ones_are_not(tmp_path: Path) -> None:
    rows = [
        Page("a", "q", ["x", "y"], propensities=[0.25, 0.75]),
        Page("b", "q", ["y", "z"], ranks=[1, 3], propensities=[0.5, 0.125]),
        Page("c", "q", ["y", "x"]),
    ]
    where = ClickLog.write(tmp_path / "log", rows)
    read = list(batches(where, Vocabulary()))
    assert len(read) == 1
    logged = read[0][1]
    assert logged is not None
    assert np.array_equal(logged, [[0.25, 0.75, np.nan], [0.5, np.nan, 0.125], [np.nan] * 3], equal_nan=True)


def test_a_log_that_is_read_gives_the_curve_of_the_arrays(tmp_path: Path) -> None:
    made = World(3, queries=20).rankers(1000)
    where = ClickLog.write(tmp_path / "log", pages(made))
    read = estimate(batches(where, Vocabulary(), batch=300), "harvest", Options(resamples=0))
    direct = estimate(made, "harvest", Options(resamples=0))
    assert read.curves[0].propensity == pytest.approx(direct.curves[0].propensity, rel=1e-5)


def test_regression_em_takes_features_from_parquet(log: Path, tmp_path: Path) -> None:
    relevance = World(1, queries=40).relevance
    query, document = (index.ravel() for index in np.indices(relevance.shape))
    names = [f"q{number}" for number in query], [str(number) for number in query * 8 + document]
    logit = np.log(relevance / (1 - relevance)).ravel()
    whole = pa.table({"query": names[0], "document": names[1], "logit": logit})
    path = tmp_path / "features.parquet"
    pq.write_table(whole, path)
    answer = json.loads(call(log, "--method", "regression-em", "--features", path, "--resamples", 0, "--json").output)
    assert answer["curves"][0]["propensity"] == pytest.approx(CURVE, abs=0.06)
    pq.write_table(whole.slice(0, 10), path)
    result = call(log, "--method", "regression-em", "--features", path)
    assert isinstance(result.exception, InputError)
    assert "lacks" in str(result.exception)
    pq.write_table(whole.drop_columns(["logit"]), path)
    assert "numbers beside" in str(call(log, "--method", "regression-em", "--features", path).exception)
    assert "needs features" in str(call(log, "--method", "regression-em").exception)


def test_designs_are_ranges_and_lists() -> None:
    assert _design("a=1-3") == ("a", (1, 2, 3))
    assert _design("a=b=1,4") == ("a=b", (1, 4))
    for bad in ("a", "a=", "a=x", "a=3-1", "a=0-2", "a=1-99999999"):
        with pytest.raises(InputError):
            _design(bad)


def test_the_command_knows_every_method() -> None:
    assert tuple(how.value for how in How) == METHODS


def test_curves_are_shown_in_text_and_in_every_kind_of_file(tmp_path: Path) -> None:
    found = estimate(World(4).rankers(3000), "harvest", Options(resamples=20))
    lines = bars(found.curves[0])
    assert len(lines) == 5
    assert lines[0].count("█") + lines[0].count("▒") > 2 * lines[2].count("█")
    assert len(table(found)) == 6
    for kind in ("png", "pdf"):
        draw(found, tmp_path / f"curve.{kind}")
        assert (tmp_path / f"curve.{kind}").stat().st_size > 1000
    with pytest.raises(InputError, match="cannot be written"):
        draw(found, tmp_path / "curve.doc")
