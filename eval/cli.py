"""`clickwise eval`: run experiments, compare their results, look at one topic, value policies from click logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.log.cli import log
from index.errors import InputError
from index.interruption import goes_on
from index.places import Locate, locate, name_for

app = typer.Typer(no_args_is_help=True)
app.command()(log)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RunDir = Annotated[Path | None, typer.Option("--run", metavar="DIR", help="A run directory. [default: the newest one]")]


@app.callback()
def evaluate() -> None:
    """Measure rankers on test collections."""


@app.command()
def run(
    context: typer.Context,
    config: Annotated[
        str | None, typer.Argument(help="A TOML file, or the name of an experiment that Clickwise brings along.")
    ] = None,
    collection: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="Only this collection; or a new one: NAME=SOURCE, a BEIR folder, irds:ID."),
    ] = [],
    ranker: Annotated[list[str], typer.Option(help="Only this ranker; or a pipeline to add.")] = [],
    k: Annotated[list[int], typer.Option("-k", help="How many feedback documents of each kind; repeatable.")] = [],
    setting: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the configuration: protocol.depth=500.")
    ] = [],
    data: Annotated[Path | None, typer.Option(help="Where relative paths of collections begin.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's name. [default: the configuration's]")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory. [default: .clickwise/eval/runs/NAME]")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Indexes and finished parts. [default: .clickwise/eval/cache]")
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Go on without collections that are not at hand.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run of this name that was of another configuration.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an experiment.

    Writes a directory with a report, tables, figures, TREC runs and every measure of every topic. What an earlier run
    has finished is not done again; after Ctrl-C the same command goes on.
    """
    from threadpoolctl import threadpool_limits

    from eval.artefacts import check_earlier, check_free, write_results
    from eval.config import parse_config, read_config
    from eval.experiment import run_experiment
    from eval.store import Store

    tables = read_config(config) if config else {}
    changes = _changes(tables, collection, ranker, k, setting, data, name)
    experiment = parse_config(changes, config or "The command line")

    # Many small products beside the models' own threads: numpy's would only wait for each other (three times the time).
    threadpool_limits(1, user_api="blas")
    folder = _folder(context)
    where = out or folder / "runs" / experiment.head.name
    check_free(where)  # before the work, which may take an hour
    if not overwrite:
        check_earlier(where, experiment)
    kept = cache or folder / "cache"
    with goes_on(f"What is done is kept in {kept}, and the same command goes on."):
        results = run_experiment(experiment, Store(kept), skip_missing=skip_missing)
        if not overwrite:
            check_earlier(where, experiment, results.skipped)
        fresh = write_results(results, where)
    summary = json.loads((where / "summary.json").read_text(encoding="utf-8"))
    if as_json:
        typer.echo(json.dumps({**summary, "run": str(where)}, ensure_ascii=False))
        return
    typer.echo((where / "tables" / "main.md").read_text(encoding="utf-8"))
    for name, reason in results.skipped.items():
        typer.echo(f"Skipped {name}: {reason}", err=True)
    typer.echo(f"{'Wrote' if fresh else 'Nothing new in'} {where}: open {where / 'report.html'}")


@app.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="A ranker, DIR:RANKER, a run directory, or a TREC run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same: what A is compared with.")],
    run_dir: RunDir = None,
    qrels: Annotated[Path | None, typer.Option(help="Judgements, to compare TREC runs.")] = None,
    measure: Annotated[str, typer.Option(help="As ir_measures writes it.")] = "",
    relevant: Annotated[int, typer.Option(min=1, help="The least relevant grade, with --qrels.")] = 1,
    as_json: Json = False,
) -> None:
    """Compare two rankers, two run directories or two TREC runs, topic by topic.

    Gives the difference with its interval, three tests, wins and losses. Of two run directories, all rankers that both
    have are compared, and their p-values corrected together.
    """
    from eval.comparing import comparison_table, operands

    pairs = operands(first, second, run_dir or _newest(context), qrels, measure, relevant)
    table = comparison_table(pairs)
    typer.echo(table.to_json() if as_json else table.to_markdown(), nl=False)


@app.command()
def topic(
    context: typer.Context,
    topic_id: Annotated[str, typer.Argument(metavar="ID", help="The topic.")],
    rankers: Annotated[
        list[str], typer.Option("--ranker", help="Whose lists; repeat for two side by side. [default: best, baseline]")
    ] = [],
    run_dir: RunDir = None,
    collection: Annotated[str, typer.Option(help="Where several have a topic of that id.")] = "",
    k: Annotated[int | None, typer.Option("-k", help="Feedback documents of each kind. [default: the most]")] = None,
    depth: Annotated[int, typer.Option(min=1, help="How many documents.")] = 10,
    as_json: Json = False,
) -> None:
    """Show a topic: its feedback, and two lists side by side with their judgements."""
    from eval.looking import look, side_by_side

    view = look(run_dir or _required(_newest(context)), topic_id, collection, rankers, k, depth)
    typer.echo(json.dumps(view, ensure_ascii=False) if as_json else side_by_side(view))


def _changes(
    tables: dict[str, Any],
    collections: Sequence[str],
    rankers: Sequence[str],
    ks: Sequence[int],
    settings: Sequence[str],
    data: Path | None,
    name: str | None,
) -> dict[str, Any]:
    """The configuration with what the flags say."""
    from eval.config import merged, setting

    result = dict(tables)
    if collections:
        here = bool(tables) and data is None  # the configuration's own paths begin elsewhere
        result["collections"] = dict(_collection(result.get("collections", {}), given, here) for given in collections)
    if rankers:
        known = result.get("rankers", {})
        result["rankers"] = {name: known.get(name, {}) for name in rankers}
        if result.get("baseline") not in rankers:
            result.pop("baseline", None)
    if ks:
        result = merged(result, {"protocol": {"k": list(ks)}})
    if data or not tables:
        result["data"] = str(data or ".")
    for text in settings:
        result = merged(result, setting(text))
    return {**result, "name": name} if name else result


def _collection(known: dict[str, Any], given: str, here: bool) -> tuple[str, dict[str, Any]]:
    """A collection by the name that it has in the configuration, or a new one by its source: a folder that there is
    from where we are, if `here`."""
    name, mark, source = given.partition("=")
    if given in known:
        return given, known[given]
    source = source if mark else given
    named = name if mark else name_for(source)
    return named, {"source": str(Path(source).absolute()) if here and Path(source).is_dir() else source}


def _folder(context: typer.Context) -> Path:
    """The folder `eval` in the home folder, which the roof's `Locate` knows from the configuration."""
    found: Locate = context.obj if callable(context.obj) else locate
    return found("any").parent.parent / "eval"


def _newest(context: typer.Context) -> Path | None:
    summaries = (_folder(context) / "runs").glob("*/summary.json")
    newest = max(summaries, key=lambda path: path.stat().st_mtime, default=None)
    return newest.parent if newest else None


def _required(found: Path | None) -> Path:
    if found is None:
        raise InputError("There is no run directory yet.", "Name one with --run, or run an experiment.")
    return found
