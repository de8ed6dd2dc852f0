"""`clickwise clicks convert`, `inspect` and `clean`."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from index.errors import InputError

if TYPE_CHECKING:
    from ranking.clicks.hygiene import HygieneReport
    from ranking.clicks.reading import ReadReport
    from ranking.clicks.summary import Summary

Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="A file, or a folder of files of one format.")]
LogPath = Annotated[Path, typer.Argument(metavar="LOG", help="A click log: a folder that convert or export wrote.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the new log.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_BAR = 40  # characters of the longest bar


def convert(
    source: Source,
    out: Out,
    format: Annotated[
        str | None, typer.Option(help="parquet, ubi, yandex or baidu. [default: by the file's ending and first bytes]")
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to the log OUT.")] = False,
    on_error: Annotated[str, typer.Option(help="What to do with a bad record: skip (and count it), or stop.")] = "skip",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN", help="For tables: where query_id, document, rank, click … are; repeatable."
        ),
    ] = None,
    click: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTION", help="For ubi: an action that is a click; repeatable. [click, click_through]"),
    ] = None,
    ordinal_base: Annotated[
        int | None, typer.Option(help="For ubi: whether ordinals count from 0 or 1. [default: found out]")
    ] = None,
    min_documents: Annotated[
        int | None, typer.Option(help="For baidu: leave out queries with fewer documents. [default: 5]")
    ] = None,
    document_id: Annotated[
        str | None, typer.Option(help="For baidu: text (title and abstract, as in the annotations) or url.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a click log of another system into one of Clickwise.

    Reads and writes in a stream, whatever the size. Says what it counted and what it found out on the way. Nothing is
    cleaned yet: see clean.
    """
    from index.progress import Progress
    from ranking.clicks.log import LogWriter
    from ranking.clicks.reading import ReadReport, read_log

    if on_error not in ("skip", "stop"):
        raise InputError(f"There is no way {on_error} to treat bad records.", "Choose skip or stop.")
    report = ReadReport()
    options = {
        "columns": _pairs(column),
        "clicks": click or None,
        "ordinal_base": ordinal_base,
        "min_documents": min_documents,
        "document_id": document_id,
    }
    found = read_log(source, format, on_error=on_error, report=report, **options)  # type: ignore[arg-type]
    with LogWriter(out, append=append) as writer, Progress("Converting") as progress:
        for pages in found:
            writer.add(pages)
            progress.advance(len(pages))
    if as_json:
        typer.echo(json.dumps({"log": str(out), **_read_json(report)}, ensure_ascii=False))
        return
    typer.echo("\n".join(_read_lines(report)))
    typer.echo(f"Wrote {out}: look at it with 'clickwise clicks inspect {out}'.")


def inspect(log: LogPath, as_json: Json = False) -> None:
    """Say what a click log holds: counts, click-through rates by rank, page lengths, and what cleaning would drop."""
    from index.progress import track
    from ranking.clicks.hygiene import HygieneReport, clean
    from ranking.clicks.log import ClickLog
    from ranking.clicks.summary import summarise

    opened = ClickLog.open(log)
    summary, joining = summarise(opened)
    report = HygieneReport()
    for _ in track(clean(opened, None, report), "Checking"):
        pass
    report.orphans = max(report.orphans, joining.orphans)
    if as_json:
        typer.echo(json.dumps(_inspected(summary, report), ensure_ascii=False, default=str))
        return
    typer.echo("\n".join([*_summary_lines(summary), "", "What cleaning finds:", *_hygiene_lines(report)]))
    for warning in summary.warnings():
        typer.echo(f"Note: {warning}")


def clean(
    log: LogPath,
    out: Out,
    min_dwell: Annotated[
        float, typer.Option(metavar="SECONDS", help="Clicks with a shorter dwell are dropped; 0 keeps all.")
    ] = 1.0,
    max_delay: Annotated[
        float, typer.Option(metavar="HOURS", help="Events longer after their page are dropped; 0 keeps all.")
    ] = 24.0,
    max_page_clicks: Annotated[
        int, typer.Option(metavar="N", help="A page with more clicks is dropped; 0 keeps all.")
    ] = 20,
    max_hour_clicks: Annotated[
        int, typer.Option(metavar="N", help="A client with more clicks in an hour is a bot; 0 turns this off.")
    ] = 500,
    flat_clicks: Annotated[
        int, typer.Option(metavar="N", help="From so many clicks on a client is checked for a flat curve; 0: never.")
    ] = 30,
    max_client_pages: Annotated[
        int, typer.Option(metavar="N", help="Pages of one client beyond that are dropped; 0 keeps all.")
    ] = 10_000,
    quarantine: Annotated[
        float, typer.Option(metavar="HOURS", help="Hold back the pages of the log's last hours.")
    ] = 0.0,
    keep_named_bots: Annotated[
        bool, typer.Option("--keep-named-bots", help="Keep clients that call themselves bots.")
    ] = False,
    append: Annotated[bool, typer.Option("--append", help="Add to the log OUT.")] = False,
    as_json: Json = False,
) -> None:
    """Write a log without what cannot be true and what no person did, and say how much of each there was."""
    from index.progress import Progress
    from ranking.clicks.hygiene import HygieneReport, Rules
    from ranking.clicks.hygiene import clean as cleaned
    from ranking.clicks.log import ClickLog, LogWriter

    rules = Rules(
        min_dwell=_span(seconds=min_dwell),
        max_delay=_span(hours=max_delay),
        max_page_clicks=max_page_clicks or None,
        max_hour_clicks=max_hour_clicks or None,
        flat_evidence=Rules().flat_evidence if flat_clicks else None,
        flat_clicks=flat_clicks,
        named_bots=not keep_named_bots,
        max_client_pages=max_client_pages or None,
        quarantine=_span(hours=quarantine),
    )
    opened, report = ClickLog.open(log), HygieneReport()
    if out.resolve() == log.resolve():
        raise InputError("A log cannot be cleaned into itself.", "Name another folder.")
    with LogWriter(out, append=append) as writer, Progress("Cleaning", opened.count("impressions")) as progress:
        for pages in cleaned(opened, rules, report):
            writer.add(pages)
            progress.advance(len(pages))
    typer.echo(json.dumps(asdict(report)) if as_json else "\n".join(_hygiene_lines(report)))


def _span(**parts: float) -> timedelta | None:
    """A time span; None for none. Raises InputError for a negative one."""
    span = timedelta(**parts)
    if span < timedelta(0):
        raise InputError("A time span cannot be negative.", "Give 0 or more.")
    return span or None


def _pairs(values: list[str] | None) -> dict[str, str] | None:
    pairs = {}
    for value in values or ():
        role, _, name = value.partition("=")
        if not role or not name:
            raise InputError(f"--column {value} gives no role its column.", "Write --column ROLE=COLUMN.")
        pairs[role] = name
    return pairs or None


def _read_json(report: ReadReport) -> dict[str, Any]:
    return {
        "pages": report.pages,
        "events": report.events,
        "skipped": report.skipped,
        "counts": dict(report.counts),
        "notes": report.notes,
        "errors": [error.message for error in report.errors],
    }


def _read_lines(report: ReadReport) -> list[str]:
    rows = [("pages", report.pages), ("events", report.events), *sorted(report.counts.items())]
    rows += [("bad records, skipped", report.skipped)] if report.skipped else []
    lines = _aligned(rows) + report.notes
    return lines + [error.message for error in report.errors]


def _hygiene_lines(report: HygieneReport) -> list[str]:
    return _aligned(report.lines())


def _aligned(rows: list[tuple[str, int]]) -> list[str]:
    width = max(len(f"{count:,}") for _, count in rows)
    return [f"{count:>{width},}  {text}" for text, count in rows]


def _summary_lines(summary: Summary) -> list[str]:
    rows = [
        ("pages", summary.pages),
        ("queries", summary.queries),
        ("documents shown", summary.documents),
        *((f"{kind.replace('_', ' ')} events", count) for kind, count in sorted(summary.events.items())),
        ("pages with a click", summary.pages_with_clicks),
        ("clients", summary.clients),
        ("sessions", summary.sessions),
        ("pages with logged propensities", summary.propensities),
    ]
    lines = _aligned(rows)
    if summary.first and summary.last:
        lines.append(f"From {summary.first:%Y-%m-%d %H:%M} to {summary.last:%Y-%m-%d %H:%M} UTC.")
    for name, counter in (("Arms", summary.arms), ("Devices", summary.devices)):
        if counter:
            lines.append(f"{name}: {_most(counter)}.")
    lines += [f"Documents per page: {_most(summary.lengths)}.", "", "rank     shown    clicks     CTR"]
    best = max((rate for rate in summary.rates if rate), default=1.0)
    for rank, (shown, clicks, rate) in enumerate(zip(summary.shown, summary.clicked, summary.rates, strict=True), 1):
        bar = "#" * round(_BAR * (rate or 0.0) / best)
        lines.append(f"{rank:>4}  {shown:>8,}  {clicks:>8,}  {_percent(rate):>6}  {bar}".rstrip())
    return lines


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"


def _most(counter: Counter[Any], most: int = 8) -> str:
    """The most frequent names with their counts."""
    shown = ", ".join(f"{name} ({count:,})" for name, count in counter.most_common(most))
    return shown if len(counter) <= most else f"{shown} and {len(counter) - most} more"


def _inspected(summary: Summary, report: HygieneReport) -> dict[str, Any]:
    figures = {each.name: getattr(summary, each.name) for each in fields(summary)}
    return {**figures, "rates": summary.rates, "hygiene": asdict(report), "warnings": summary.warnings()}
