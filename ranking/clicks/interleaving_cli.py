"""`clickwise clicks interleave`: who wins the duels of a click log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from index.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from ranking.clicks.standings import Standing


def interleave(
    log: Annotated[Path, typer.Argument(help="A click log with interleaved pages: 'clickwise export' writes it.")],
    confidence: Annotated[float, typer.Option(help="At which a winner is named, and of the interval.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say who wins where two rankers shared result pages.

    The test may be looked at as often as you like, and ended once there is a winner: its p-value stays valid.
    """
    from ranking.clicks.log import ClickLog
    from ranking.clicks.standings import standings

    if not 0 < confidence < 1:
        raise InputError(f"The confidence {confidence:g} is not between 0 and 1.", "Use 0.95, say.")
    found = standings(ClickLog.open(log).pages())
    if not found:
        raise NotFoundError(
            f"{log} has no interleaved pages.", "Give the server the setting interleaving, or name another log."
        )
    if as_json:
        typer.echo(json.dumps({"duels": [standing.table(confidence) for standing in found]}, ensure_ascii=False))
        return
    typer.echo("\n\n".join(_text(standing, confidence) for standing in found))


def _text(standing: Standing, confidence: float) -> str:
    test, duel = standing.test, standing.duel
    low, high = test.interval(confidence)
    winner = standing.winner(confidence)
    verdict = "no winner yet" if winner is None else f"{duel.first if winner == 'first' else duel.second} wins"
    ties = test.pages - test.wins - test.losses
    return "\n".join(
        [
            f"{duel.first} against {duel.second} ({duel.method}): {verdict}",
            f"  pages       {standing.pages:,} shown, {test.pages:,} with clicks",
            f"  won         {test.wins:,} by {duel.first}, {test.losses:,} by {duel.second}, {ties:,} ties",
            f"  preference  {test.preference:+.4f} [{low:+.4f}, {high:+.4f}] for {duel.first}",
            f"  p-value     {test.p_value:.2g}, valid however often it is looked at",
        ]
    )
