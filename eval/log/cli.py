"""`clickwise eval log`: the value of a ranking policy from the click log of another one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from index.errors import InputError

if TYPE_CHECKING:
    from eval.log.bootstrap import Interval
    from eval.log.evaluate import Report
    from eval.log.policy import Policy
    from eval.log.table import Log

KINDS = ("column", "log", "run", "thompson")  # of targets that are written KIND:WHAT


def log(
    source: Annotated[
        Path, typer.Argument(metavar="LOG", help="A Parquet or CSV file, or a folder of the Open Bandit Dataset.")
    ],
    target: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="The policy to value: a table of action, probability and maybe position and context; 'uniform';"
            " 'column:NAME' of the log; 'log:PATH', the policy that wrote another log;"
            " 'run:PATH', the rankings of a TREC run, whose topics are the first --context;"
            " 'thompson:PATH', Thompson sampling with a table of action, alpha, beta.",
        ),
    ],
    column: Annotated[
        list[str],
        typer.Option(
            metavar="ROLE=COLUMN", help="Where action, reward, propensity, position or page comes from; repeatable."
        ),
    ] = [],
    context: Annotated[
        list[str], typer.Option(metavar="COLUMN", help="What else the policies or the clicks depend on; repeatable.")
    ] = [],
    truth: Annotated[
        Path | None, typer.Option(metavar="LOG", help="A log of the target policy itself, to compare with.")
    ] = None,
    clip: Annotated[float, typer.Option(help="The highest weight of the clipped estimators.")] = 10.0,
    confidence: Annotated[float, typer.Option(help="The confidence of the intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option(help="The number of bootstrap samples.")] = 1000,
    folds: Annotated[int, typer.Option(help="The folds in which the reward model is cross-fitted.")] = 5,
    smoothing: Annotated[float, typer.Option(help="Rows of chance added to the frequencies of log:PATH.")] = 0.0,
    max_missing: Annotated[
        float, typer.Option(help="How much of the target's probability may be on what the log never shows.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="The seed of all that is random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate what a ranking policy would earn, from the click log of another policy.

    Each row of the log is one document at one position, with its click and the probability with which it was shown
    there. The value is the mean reward of a row. There is no answer where the log never shows what the target policy
    does.
    """
    from eval.log.evaluate import Options, evaluate

    options = Options(clip, confidence, resamples, folds, seed, max_missing)
    columns = _columns(column)
    kind, rest = _target(target)
    given = _table(rest, columns) if kind == "table" else None
    names = list(dict.fromkeys([*context, *(given.context if given else ())]))
    if kind == "run" and not names:
        raise InputError(
            f"--target {target} needs the queries of the log.", "Say where they are with --context COLUMN."
        )
    logged = _read(source, columns, names, rest if kind == "column" else None)
    own = None if truth is None else _read(truth, columns, ())
    if kind == "log":
        theirs = _read(Path(rest), columns, names)
        own, given = theirs if own is None else own, _frequencies(theirs, smoothing)
    elif kind == "run":
        given = _run(Path(rest), logged, names[0])
    elif kind == "thompson":
        given = _thompson(Path(rest), columns, logged, seed)
    elif kind == "uniform":
        from eval.log.policies import uniform

        given = uniform(logged)
    report = evaluate(logged, given, options, own)
    if as_json:
        typer.echo(json.dumps(_json(report), ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(report)))


def _columns(pairs: Sequence[str]) -> dict[str, str]:
    from eval.log.files import USUAL

    columns = {}
    for pair in pairs:
        role, _, name = pair.partition("=")
        if role not in USUAL or not name:
            raise InputError(
                f"--column {pair} gives no role its column.", f"Use ROLE=COLUMN; roles: {', '.join(USUAL)}."
            )
        columns[role] = name
    return columns


def _target(text: str) -> tuple[str, str]:
    """What kind of target a text names, and the rest of the text."""
    if text == "uniform":
        return "uniform", ""
    kind, colon, rest = text.partition(":")
    if colon and kind in KINDS:
        if not rest:
            raise InputError(f"--target {text} names nothing.", f"Write {kind}: and what it is.")
        return kind, rest
    return "table", text


def _read(path: Path, columns: dict[str, str], context: Sequence[str], target: str | None = None) -> Log:
    if path.is_dir():
        from eval.log.open_bandit import read_open_bandit

        return read_open_bandit(path, context=context, target=target)
    from eval.log.reading import read_log

    return read_log(path, columns=columns, context=context, target=target)


def _table(path: str, columns: dict[str, str]) -> Policy:
    from eval.log.reading import read_policy

    return read_policy(Path(path), columns)


def _frequencies(own: Log, smoothing: float) -> Policy:
    from eval.log.policies import frequencies

    return frequencies(own, smoothing)


def _run(path: Path, logged: Log, query: str) -> Policy:
    from eval.formats.trec import read_run
    from eval.log.policies import fixed

    return fixed(read_run(path), _ordered(logged), query, str(path))


def _thompson(path: Path, columns: dict[str, str], logged: Log, seed: int) -> Policy:
    from eval.log.policies import thompson
    from eval.log.reading import read_beta

    return thompson(*read_beta(path, columns), _ordered(logged), seed=seed)


def _ordered(logged: Log) -> list[str]:
    """The positions of a log from the top of the page down."""
    positions = logged.position.values
    try:
        return sorted(positions, key=float)
    except ValueError as error:
        raise InputError(
            f"The positions {', '.join(positions)} are no numbers, so nobody knows which comes first.",
            "Number them, from the top of the page.",
        ) from error


def _json(report: Report) -> dict[str, Any]:
    answer = asdict(report)
    if report.truth is None:
        del answer["truth"]
    return answer


def _lines(report: Report) -> list[str]:
    """The report as aligned text, for a person."""
    weights, truth = report.weights, report.truth
    support = "not known: the target's probabilities are known only for what was logged"
    if report.support is not None:
        support = f"{report.support.missing:.2%} missing, {report.support.unseen:.2%} unseen"
        support = support if report.support.unseen else "complete"
    facts = {
        "log": f"{report.log}, {report.rows:,} rows on {report.pages:,} pages",
        "logging": f"{_figure(report.logging)} per row",
        "target": report.target,
        "support": support,
        "weights": f"mean {weights.mean:.3f} (standard error {weights.mean_error:.3f}), largest {weights.maximum:.4g}",
        "effective": f"{weights.effective_rows:,.0f} rows",
        "clipping": f"at {weights.clip:g}: {weights.clipped_rows:.2%} of rows, {weights.clipped_weight:.2%} of weight",
    }
    if truth:
        facts["truth"] = f"{_figure(truth.value)} per row, {truth.rows:,} rows of {truth.source}"
    lines = [f"{name:<11}{fact}" for name, fact in facts.items()]
    table = [("estimator", f"value [{report.confidence:.4g} interval]", "relative error" if truth else "")]
    for name, value in report.estimates.items():
        error = truth.relative_error[name] if truth else None
        off = f"{error.value:+.1%} [{error.low:+.1%}, {error.high:+.1%}]" if error else ""
        table.append((name, _figure(value), off))
    width = max(len(value) for _, value, _ in table) + 2
    lines += ["", *(f"{name:<14}{value:<{width}}{error}".rstrip() for name, value, error in table)]
    return lines + [f"warning: {warning}" for warning in report.warnings]


def _figure(interval: Interval) -> str:
    return f"{interval.value:.5g} [{interval.low:.5g}, {interval.high:.5g}]"
