"""`clickwise clicks fit`: click models from a click log."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from index.errors import ConflictError, InputError

if TYPE_CHECKING:
    from ranking.clicks.models.fitting import Outcome

ALL = "all"
FEW: Final = 100
"""Held-out pages below which figures are marked as too few: even how often a rank is clicked is known to within a tenth
from so many (1.96 standard errors of a half), and models differ by hundredths."""


class Prior(StrEnum):
    """`ranking.clicks.models.base.PriorKind`, known without loading it."""

    auto = "auto"
    shared = "global"
    exposure = "exposure"
    query = "query"


class Split(StrEnum):
    """`ranking.clicks.models.fitting.Split`."""

    order = "order"
    spread = "spread"


def fit(
    log: Annotated[Path, typer.Argument(help="A click log: the folder that 'clickwise clicks convert' writes.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="global-ctr, rank-ctr, document-ctr, pbm, trust, cascade, dcm, ccm, sdbn, dbn, ubm; all compares "
            "them. [default: pbm, or that of --continue]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the fitted model there, to debias feedback with it.")
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option("--continue", metavar="DIR", help="Go on from this fit, with the pages of this log.")
    ] = None,
    decay: Annotated[
        float, typer.Option(min=0, max=1, help="How much the earlier log still counts, with --continue.")
    ] = 1.0,
    test: Annotated[
        Path | None, typer.Option(metavar="LOG", help="Measure on this log. [default: the last tenth]")
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Which pages are held out: the last ones, or one in ten (for logs sorted by query).")
    ] = Split.order,
    prior: Annotated[
        Prior, typer.Option(help="Which documents share a prior: all, those equally exposed, or those of a query.")
    ] = Prior.auto,
    iterations: Annotated[int, typer.Option(min=1, help="At most so many passes of EM.")] = 100,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit a click model.

    Prints how well it foresees pages that it has not seen; --model all compares every model. The best comes first, by
    conditional perplexity: of a click given those above it, 1 where all are foreseen.
    """
    from ranking.clicks.log import ClickLog
    from ranking.clicks.models.base import FitOptions
    from ranking.clicks.models.fitting import Fitting
    from ranking.clicks.models.registry import MODELS, Fitted, check_out, new

    begun = Fitted.load(earlier) if earlier and model != ALL else None
    usual = begun.model.name if begun else "pbm"
    names = list(MODELS) if model == ALL else [new(model or usual).name]
    if len(names) > 1 and (out or earlier):
        raise InputError("Several models do not go into one folder.", "Name one with --model.")
    if out is not None and check_out(out) and not overwrite and (earlier is None or not out.samefile(earlier)):
        raise ConflictError(
            f"There is a click model at {out} already.",
            "Name another folder, replace it with --overwrite, or go on from it with --continue.",
        )
    fitting = Fitting(ClickLog.open(log), ClickLog.open(test) if test else None, split.value)
    options = FitOptions(iterations=iterations, prior=prior.value, decay=decay)
    outcomes = [fitting.run(name, options, begun) for name in names]
    if out is not None:
        outcomes[0].fitted.save(out)
    if as_json:
        typer.echo(json.dumps({"models": [outcome.to_json() for outcome in outcomes]}))
        return
    typer.echo("\n".join(table(outcomes)))


def table(outcomes: list[Outcome]) -> list[str]:
    """The models, the best (of the least conditional perplexity) first."""
    lines = [f"{'model':<14}{'log-likelihood':>15}{'perplexity':>12}{'conditional':>13}{'passes':>8}{'seconds':>9}"]
    for outcome in sorted(outcomes, key=lambda outcome: outcome.foresight.conditional_perplexity):
        found = outcome.foresight
        lines.append(
            f"{outcome.fitted.model.name:<14}{_figure(found.log_likelihood):>15}{_figure(found.perplexity):>12}"
            f"{_figure(found.conditional_perplexity):>13}{outcome.iterations:>8}{outcome.seconds:>9.2f}"
        )
    found = outcomes[0].foresight
    if not found.pages:
        return [*lines, "measured on no page: the log is too short to hold any back"]
    order = "; best first, by conditional perplexity (less is better)" if len(outcomes) > 1 else ""
    seen = f"pages {found.pages:,.0f}, queries {found.queries:,}, clicks {found.clicks:,.0f}"
    lines.append(f"measured on what no model was fitted to ({seen}){order}")
    if found.pages < FEW:
        lines.append(f"on fewer than {FEW} pages such figures are chance: a longer log, or --test LOG, would tell")
    return lines


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
