"""`clickwise train clicks`: a cross-encoder from a click log, the effect of the ranks taken out where that helps."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from shutil import rmtree
from typing import Annotated

import typer

from ranking.clicks.ltr_cli import Clip, Debiased, Epochs, Patience, PropensityFile, Randomised, ShuffledRanks

app = typer.Typer()


@app.command()
def clicks(
    context: typer.Context,
    index: Annotated[str, typer.Argument(help="The index's name, or its directory: the texts of the documents.")],
    log: Annotated[Path, typer.Argument(help="A click log on documents of this index.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the model, its report and its card.")],
    objective: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="One of 'clickwise clicks ltr', or auto: naive, unless --debiased wins on shuffled pages.",
        ),
    ] = "auto",
    debiased: Debiased = "dla",
    randomised: Randomised = [],
    shuffled_ranks: ShuffledRanks = None,
    propensities: PropensityFile = None,
    model: Annotated[
        str, typer.Option(help="The cross-encoder to begin from: a name, or the delta.safetensors of a training.")
    ] = "clickwise-minilm",
    epochs: Epochs = 3,
    patience: Patience = 2,
    batch: Annotated[int, typer.Option(min=1, help="Pages of one step; those of a query stand together.")] = 64,
    rate: Annotated[float, typer.Option(min=1e-9, help="Learning rate.")] = 1e-4,
    clip: Clip = 10.0,
    tokens: Annotated[int, typer.Option(help="How much of a query with its text is read.")] = 128,
    characters: Annotated[int, typer.Option(min=1, help="How much of a text is kept.")] = 1_200,
    threads: Annotated[int, typer.Option(min=0, help="Cores to compute on. [default: all]", show_default=False)] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")] = 0,
    note: Annotated[list[str], typer.Option("--note", help="A line on the data, for the card; repeatable.")] = [],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the trained model of that folder.")] = False,
    home: Annotated[Path | None, typer.Option(help="The folder of the indexes. [default: .clickwise]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Train a cross-encoder from clicks: for the ranker's option 'model'.

    A naive ranker is always a candidate: with auto, debiasing has to beat it on pages that were shuffled. An
    interrupted training goes on when the same command is given again.
    """
    from index.errors import ConflictError
    from index.index import Index
    from index.interruption import goes_on
    from index.places import locate
    from index.progress import Progress
    from ranking.clicks.ltr.choice import choose_scorer
    from ranking.clicks.ltr.fit import Recipe, fit_scorer
    from ranking.clicks.ltr.logged import bias_of, divided, read_pages
    from ranking.clicks.ltr.objectives.registry import check_name
    from ranking.clicks.ltr.reporting import lines, reported
    from ranking.clicks.ltr.training import Options
    from ranking.learning.runs import DELTA, Run, prepared
    from ranking.learning.unbiased import TextScorer, beginning, save, texts_of

    auto = objective == "auto"
    check_name(debiased if auto else objective)
    if (out / DELTA).exists() and not overwrite:
        raise ConflictError(f"{out} holds a trained model.", "Name another folder, or use --overwrite.")
    options = Options(epochs, batch, rate, patience=patience, seed=seed)
    recipe = Recipe(debiased if auto else objective, clip=clip, options=options)
    find = context.obj if callable(context.obj) else locate
    pages, vocabulary = read_pages(log)
    texts = texts_of(Index.open(find(index, home)), vocabulary, characters)
    found = divided(pages, vocabulary, texts.rows, randomised, shuffled_ranks)
    bias = None if propensities is None else bias_of(propensities, found.pages)
    how = Run((), out, seed=seed, tokens=tokens, threads=threads, notes=tuple(note), command=_command(context))
    ready = prepared(how)
    start, pairs = beginning(model, ready), texts.pairs(ready.tokenizer)

    def make(_: int) -> TextScorer:
        return TextScorer(ready.bert, ready.base, pairs, texts.prior, start)

    chosen = None
    with goes_on("The same command goes on after the last epoch."), Progress("Training epochs") as progress:

        def step(_: object) -> None:
            progress.advance()

        if auto:
            chosen = choose_scorer(make, len(pairs), found.pages, recipe, found.traffic, bias, home=out, on_epoch=step)
            fitted, use = [chosen.naive, chosen.debiased], chosen.fitted
        else:
            use = fit_scorer(make, len(pairs), found.pages, recipe, bias, home=out / objective, on_epoch=step)
            fitted = [use]
    report = reported(fitted, use, chosen, objective, found.facts)
    save(use, report, how, ready, model, log)
    for each in fitted:
        rmtree(out / each.recipe.objective)  # where it would have gone on
    typer.echo(json.dumps(report, ensure_ascii=False) if as_json else "\n".join(lines(report, out)))


def _command(context: typer.Context) -> str:
    """What to type for the same again: what differs from the usual values."""
    words = ["clickwise", "train", "clicks"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.param_type_name == "argument":
            words.append(str(value))
        elif value not in (None, [], (), False, parameter.default) and parameter.name not in ("note", "overwrite"):
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0], str(one)]
    return shlex.join(words)
