"""`clickwise train`: tasks to learn from, cross-encoders, and what is learned without one."""

from __future__ import annotations

import importlib
import shlex
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from index.errors import InputError
from index.interruption import goes_on

if TYPE_CHECKING:
    from ranking.learning.meta import Name
    from ranking.learning.runs import Run

app = typer.Typer(no_args_is_help=True)
GOES_ON = "The same command goes on after the last step."


class Method(StrEnum):
    meta = "meta"
    supervised = "supervised"


class Algorithm(StrEnum):
    """`ranking.learning.meta.Name`, known without loading it, and the closed form."""

    fomaml = "fomaml"
    maml = "maml"
    second_order = "second-order"
    reptile = "reptile"
    anil = "anil"
    head = "head"


class Tuned(StrEnum):
    head = "head"
    biases = "biases"
    norms = "norms"
    lora = "lora"
    all = "all"


class Objective(StrEnum):
    binary = "binary"
    pairwise = "pairwise"
    listwise = "listwise"


class Precision(StrEnum):
    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


Tasks = Annotated[list[Path], typer.Argument(help="Task files, as 'clickwise train tasks' writes them.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="The folder for the model, its log and its card.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of the optimiser.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")]
Tokens = Annotated[int, typer.Option(help="How much of a query with its text is read.")]
Pairs = Annotated[int, typer.Option(min=1, help="(query, text) pairs of a step.")]
Documents = Annotated[int, typer.Option(min=3, help="Documents of a list that is to be ranked.")]
Rank = Annotated[int, typer.Option(min=1, help="Of the thin factors of the weights: decides the size of the model.")]
Rate = Annotated[float, typer.Option(min=0.0, help="The learning rate at its highest.")]
Singles = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the tasks that are given no feedback.")]
Threads = Annotated[int, typer.Option(min=0, help="Cores to compute on. [default: all]", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, or cuda.")]
Precise = Annotated[Precision, typer.Option(help="What to compute in; auto is bf16 where there are instructions.")]
Every = Annotated[int, typer.Option(min=1, help="Steps between two checkpoints.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the trained model of that folder.")]
Notes = Annotated[
    list[str], typer.Option("--note", help="A line on the origin and licence of the data, for the card; repeatable.")
]


@app.callback()
def train() -> None:
    """Train models: make tasks, and learn from them.

    A training that was interrupted goes on where it was when the same command is given again.
    """


@app.command()
def tasks(
    context: typer.Context,
    index: Annotated[str, typer.Argument(help="The index's name, or its directory.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The Parquet file to write.")],
    titles: Annotated[int, typer.Option(min=0, help="So many tasks: a title asks for its text.")] = 0,
    keywords: Annotated[
        list[str],
        typer.Option(metavar="FIELD:N", help="So many: of what a title finds, what shares its keyword; repeatable."),
    ] = [],
    topics: Annotated[Path | None, typer.Option(help="BEIR's queries.jsonl, with --qrels.")] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgements: BEIR's topic, document, grade, or TREC's four columns.")
    ] = None,
    relevant: Annotated[int, typer.Option(min=1, help="The least grade that is relevant.")] = 1,
    clicks: Annotated[
        Path | None,
        typer.Option(help="A click log, or .jsonl or .parquet with query, document, relevance and weight."),
    ] = None,
    click_model: Annotated[
        Path | None, typer.Option(help="What 'clickwise clicks fit' wrote, to debias the log with.")
    ] = None,
    negatives: Annotated[int, typer.Option(min=1, help="Hard negatives of a query that has none judged.")] = 15,
    depth: Annotated[int, typer.Option(min=1, help="How deep negatives are looked for.")] = 60,
    characters: Annotated[int, typer.Option(min=1, help="How much of a text is kept.")] = 1_200,
    seed: Seed = 0,
    home: Annotated[Path | None, typer.Option(help="The folder of the indexes. [default: .clickwise]")] = None,
) -> None:
    """Make tasks to train on: from titles, keywords, judgements, or debiased clicks.

    Negatives are what BM25 and the vectors of the index rank high and nobody calls relevant.
    """
    from index.index import Index
    from index.places import locate
    from ranking.learning.mining import Mining
    from ranking.learning.sources import Wanted, mined
    from ranking.learning.tasks import write_tasks

    if (topics is None) != (qrels is None):
        raise InputError("--topics and --qrels belong together.", "Give both.")
    if click_model is not None and clicks is None:
        raise InputError("--click-model debiases a click log.", "Name one with --clicks.")
    wanted = Wanted(titles, [_keyword(one) for one in keywords], topics, qrels, relevant, clicks, click_model)
    find = context.obj if callable(context.obj) else locate
    mining = Mining(depth=depth, negatives=negatives, characters=characters, seed=seed)
    count = write_tasks(out, mined(Index.open(find(index, home)), wanted, mining))
    typer.echo(f"{count:,} tasks in {out}", err=True)


@app.command("cross-encoder")
def cross_encoder(
    context: typer.Context,
    tasks: Tasks,
    out: Out,
    method: Annotated[
        Method, typer.Option(help="meta: to be adapted, its head in closed form. supervised: to rank at once.")
    ] = Method.meta,
    steps: Steps = 1_000,
    seed: Seed = 0,
    tokens: Tokens = 128,
    pairs: Pairs = 40,
    documents: Documents = 9,
    rank: Rank = 24,
    rate: Rate = 5e-4,
    singles: Singles = 0.3,
    standalone: Annotated[float, typer.Option(min=0.0, help="Weight of the loss without the dense prior.")] = 0.5,
    pairs_loss: Annotated[float, typer.Option(min=0.0, help="Weight of the pairwise loss.")] = 0.2,
    distillation: Annotated[float, typer.Option(min=0.0, help="Weight of the dense scores as a teacher.")] = 0.5,
    threads: Threads = 0,
    device: Device = "cpu",
    precision: Precise = Precision.auto,
    checkpoint_every: Every = 100,
    note: Notes = [],
    overwrite: Overwrite = False,
) -> None:
    """Train a cross-encoder from the packaged MiniLM: a delta, for the ranker's option 'model'."""
    from ranking.learning.runs import run
    from ranking.learning.supervised import CrossEncoderLearner, Recipe

    recipe = Recipe(
        method=method.value,
        rank=rank,
        pairs=pairs,
        documents=documents,
        singles=singles,
        rate=rate,
        standalone=standalone,
        pairs_loss=pairs_loss,
        distillation=distillation,
        seed=seed,
    )
    with goes_on(GOES_ON):
        path = run(_run(context), method.value, recipe, partial(CrossEncoderLearner, recipe=recipe))
    typer.echo(str(path))


@app.command()
def meta(
    context: typer.Context,
    tasks: Tasks,
    out: Out,
    algorithm: Annotated[Algorithm, typer.Option(help="How to learn to be adapted; head is in closed form.")],
    tuned: Annotated[Tuned, typer.Option(help="What the inner steps change; the head always.")] = Tuned.biases,
    layers: Annotated[int, typer.Option(min=1, help="In how many of the top layers.")] = 2,
    inner_steps: Annotated[int, typer.Option(min=1, help="Gradient steps on the feedback of a task.")] = 2,
    inner_rate: Annotated[float, typer.Option(min=1e-9, help="The learning rate they begin from.")] = 0.05,
    learn_rates: Annotated[bool, typer.Option(help="Learn the inner learning rates, per layer and step.")] = True,
    objective: Annotated[Objective, typer.Option(help="What the inner steps minimise.")] = Objective.binary,
    thin: Annotated[int, typer.Option(min=1, help="The rank of what the inner steps change, with --tuned lora.")] = 4,
    unadapted: Annotated[float, typer.Option(min=0.0, help="Weight of the loss before any inner step.")] = 0.5,
    steps: Steps = 1_000,
    seed: Seed = 0,
    tokens: Tokens = 128,
    pairs: Pairs = 40,
    documents: Documents = 9,
    rank: Rank = 24,
    rate: Rate = 5e-4,
    singles: Singles = 0.3,
    threads: Threads = 0,
    device: Device = "cpu",
    precision: Precise = Precision.auto,
    checkpoint_every: Every = 100,
    note: Notes = [],
    overwrite: Overwrite = False,
) -> None:
    """Meta-train a cross-encoder: to be good after a few gradient steps on a handful of documents.

    The learning rates of these steps are learned along and used by the ranker with rate = 0.
    """
    from ranking.learning.meta import MetaRecipe, learner_of
    from ranking.learning.runs import run

    recipe = MetaRecipe(
        rank=rank,
        pairs=pairs,
        documents=documents,
        singles=singles,
        rate=rate,
        tuned=tuned.value,
        layers=layers,
        thin=thin,
        steps=inner_steps,
        inner_rate=inner_rate,
        learn_rates=learn_rates,
        objective=objective.value,
        unadapted=unadapted,
        seed=seed,
    )
    name: Name | Any = algorithm.value
    with goes_on(GOES_ON):
        path = run(_run(context), algorithm.value, recipe, partial(learner_of, name, recipe=recipe))
    typer.echo(str(path))


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory to write.")],
    model: Annotated[str, typer.Argument(help="clickwise-minilm, or the delta.safetensors of a training.")],
) -> None:
    """Write a cross-encoder as a Hugging Face directory, for transformers and sentence-transformers.

    They give its logits; the dense prior that our ranker adds stays ours.
    """
    from ranking.learning.cross_encoder import load_cross_encoder
    from ranking.learning.export import export as write

    write(load_cross_encoder(model, precision="fp32"), directory)
    typer.echo(str(directory))


for module in ("cheap_cli", "unbiased_cli"):
    app.registered_commands += importlib.import_module(f"ranking.learning.{module}").app.registered_commands


def _run(context: typer.Context) -> Run:
    """The options that all trainings share."""
    from ranking.learning.runs import Run

    given = context.params
    shared = {name: given[name] for name in ("out", "steps", "seed", "tokens", "threads", "device")}
    shared |= {name: given[name] for name in ("checkpoint_every", "overwrite")}
    notes, files = tuple(given["note"]), tuple(given["tasks"])
    return Run(**shared, tasks=files, precision=given["precision"].value, notes=notes, command=_command(context))


def _command(context: typer.Context) -> str:
    """What to type for the same again, every option written out."""
    words = ["clickwise", "train", str(context.info_name)]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.param_type_name == "argument":
            words += [str(one) for one in value or ()]
        elif isinstance(value, bool):
            flag = (parameter.opts if value else parameter.secondary_opts)[:1]
            words += flag if parameter.name != "overwrite" else []
        elif parameter.name not in ("note", "help") and value is not None:
            words += [parameter.opts[0], str(value)]
    return shlex.join(words)


def _keyword(text: str) -> tuple[str, int]:
    name, mark, count = text.rpartition(":")
    if not (name and mark and count.isdigit() and int(count)):
        raise InputError(f"--keywords {text} is not usable.", "Write it as FIELD:N, as in keywords:1000.")
    return name, int(count)
