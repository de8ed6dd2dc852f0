"""What there is to say of a training: which rankers there are, how they compare, and which one is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ranking.clicks.ltr.choice import Chosen
from ranking.clicks.ltr.fit import Fitted, Made


def reported(
    fitted: Sequence[Fitted[Made]],
    use: Fitted[Made],
    chosen: Chosen[Made] | None,
    asked: str,
    facts: Mapping[str, Any],
    graded: Mapping[str, float | None] = {},
) -> dict[str, Any]:
    """As JSON has it; `graded` is the nDCG@10 of the rankers by their objectives, where there are grades."""
    models = {each.recipe.objective: _described(each) for each in fitted}
    for name, value in graded.items():
        models[name]["ndcg@10"] = value
    report: dict[str, Any] = {"objective": use.recipe.objective, "asked": asked, "log": dict(facts), "models": models}
    if chosen is not None:
        report["verdict"] = None if chosen.verdict is None else chosen.verdict.to_json()
    return report


def _described(each: Fitted[Made]) -> dict[str, Any]:
    best, bias = each.trained.best, each.believed
    return {
        "epochs": each.trained.epochs,
        "stopped": each.trained.stopped,
        "best_epoch": best.epoch,
        "held_out": best.held_out,
        "bias": None if bias is None else bias.to_json(),
    }


def lines(report: Mapping[str, Any], out: Path | None) -> list[str]:
    """As a person reads it."""
    log = report["log"]
    lines = [f"{log['pages']:,} pages" + (f", {log['shuffled_pages']:,} shuffled" if "shuffled_pages" in log else "")]
    if log.get("unknown_pages") or log.get("unknown_documents"):
        lines.append(
            f"Not to be found: the documents of {log['unknown_pages']:,} pages, left out, and of "
            f"{log['unknown_documents']:,} other slots."
        )
    lines.append(f"{'objective':<20} {'epochs':>6} {'held out':>9} {'nDCG@10':>8}")
    for name, about in report["models"].items():
        measured = about.get("ndcg@10")
        graded = "" if measured is None else f"{measured:.4f}"
        lines.append(f"{name:<20} {about['epochs']:>6} {about['held_out']:>9.4f} {graded:>8}".rstrip())
    if report["asked"] == "auto":
        verdict = report["verdict"]
        if verdict is None:
            lines.append("No shuffled pages to compare on (--randomised ARM): the naive ranker stays.")
        else:
            lines.append(
                f"On shuffled pages: naive {verdict['naive']:.4f}, debiased {verdict['debiased']:.4f}, difference "
                f"{verdict['difference']:+.4f} [{verdict['low']:+.4f}, {verdict['high']:+.4f}]. {verdict['reason']}"
            )
    lines.append(f"Chosen: {report['objective']}" + (f", in {out}" if out else ""))
    return lines
