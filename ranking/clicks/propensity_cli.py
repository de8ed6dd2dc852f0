"""`clickwise clicks propensity`: how likely each rank is examined, from a click log."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from index.errors import InputError

if TYPE_CHECKING:
    from ranking.clicks.propensity import Propensities


class How(StrEnum):
    """`propensity.METHODS`, known without loading them."""

    auto = "auto"
    randomised = "randomised"
    logged = "logged"
    harvest = "harvest"
    em = "em"
    regression_em = "regression-em"


def propensity(
    log: Annotated[Path, typer.Argument(help="A click log: the folder that 'clickwise clicks convert' writes.")],
    method: Annotated[
        How,
        typer.Option(
            help="randomised: pages that were shuffled or swapped; logged: pages with propensities; harvest: rankers "
            "that disagree; em, regression-em: a click model. auto: what the log allows, in that order."
        ),
    ] = How.auto,
    ranks: Annotated[int | None, typer.Option(min=1, help="Only the first ranks. [default: all]")] = None,
    by_surface: Annotated[bool, typer.Option("--by-surface", help="A curve for each device.")] = False,
    design: Annotated[
        list[str],
        typer.Option(metavar="ARM=RANKS", help="What an arm exchanged, as in shuffled=1-5 or swaps=1,3; repeatable."),
    ] = [],
    between: Annotated[
        bool, typer.Option("--between", help="Harvest only where different arms or versions disagree.")
    ] = False,
    features: Annotated[
        Path | None, typer.Option(help="Parquet with query, document and numbers, for regression-em.")
    ] = None,
    clip: Annotated[float, typer.Option(min=1, help="Largest weight of a logged propensity.")] = 100.0,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap samples for the intervals; 0: none.")] = 200,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="The seed of the resampling.")] = 0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the curve to a PNG, SVG or PDF file.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the propensities as JSON, to use them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Estimate how likely each rank of a page is looked at.

    Prints the propensity of each rank, relative to rank 1, with intervals. Says no where the log cannot tell
    because nothing connects the ranks.
    """
    from ranking.clicks.log import ClickLog
    from ranking.clicks.propensity import Options, estimate
    from ranking.clicks.propensity.reading import batches, read_features
    from ranking.clicks.propensity.show import draw, table
    from ranking.clicks.sessions import Vocabulary

    opened, vocabulary = ClickLog.open(log), Vocabulary()
    read = batches(opened, vocabulary)
    known = None
    if features is not None:
        held = list(read)  # features go by the numbers of pairs, which only the whole log gives
        known, read = read_features(features, vocabulary), iter(held)
    options = Options(
        ranks=ranks,
        by_surface=by_surface,
        designs=dict(_design(text) for text in design),
        features=known,
        between=between,
        clip=clip,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    found = estimate(read, method.value, options)
    if out is not None:
        found.save(out)
    if plot is not None:
        draw(found, plot)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    typer.echo("\n".join([f"method: {found.method}", *_facts(found), "", *table(found)]))
    if sys.stdout.isatty():
        typer.echo("\n".join(_plots(found)))


def _design(text: str) -> tuple[str, tuple[int, ...]]:
    """An arm and its ranks, from ARM=1-5 or ARM=1,3."""
    arm, _, given = text.rpartition("=")
    ranks: list[int] = []
    for part in given.split(","):
        low, _, high = part.partition("-")
        if not low.isdecimal() or not (high or low).isdecimal() or not 1 <= int(low) <= int(high or low) <= 1000:
            raise InputError(f"--design {text} does not say which ranks.", "Write ARM=1-5, or ARM=1,3.")
        ranks += range(int(low), int(high or low) + 1)
    return arm, tuple(sorted(set(ranks)))


def _facts(found: Propensities) -> list[str]:
    lines = []
    for curve in found.curves:
        facts = ", ".join(f"{value:,.0f} {name.replace('_', ' ')}" for name, value in curve.counts.items())
        lines.append(f"{curve.surface or 'log'}: {facts}")
        lines += [f"warning: {line}" for line in curve.warnings]
    return lines


def _plots(found: Propensities) -> list[str]:
    from ranking.clicks.propensity.show import bars

    return [line for curve in found.curves for line in ("", *([curve.surface] if curve.surface else []), *bars(curve))]
