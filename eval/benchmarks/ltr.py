"""Unbiased learning to rank on simulated clicks: every objective beside the naive ones, over many seeds.

    python -m eval.benchmarks.ltr [--data DIR] [--seeds N] [--pages N] [--jobs N] [--only NAME ...]

Needs the LETOR example under DIR/ltr/lightgbm-lambdarank (CLICKWISE_DATA names DIR too). Per seed a production ranker
learns from the grades of a tenth of the training queries, and people with position bias (eta = 1) click its pages of
ten, or people who also trust its ranks; each objective trains the same network on these clicks and is measured by
nDCG@10 (gains 2^grade - 1) on the test queries. Differences are to naive listwise training: p by sign flips over seeds,
which is about the noise of the simulation, and over test queries, which is about other queries; Holm's correction over
the objectives. Progress goes to standard error, a table and then one JSON object to standard output.

There are two production rankers, boosted trees and a linear one. The errors of a linear ranker are a smooth function
of the features, which naive training can learn with the clicks; those of trees should be harder to learn. What
debiasing is worth differs between them.

The recipe is the same for all: a fixed number of epochs, chosen for naive and inversely weighted listwise training by
cross-validation inside the training queries.
Lines with "stopped by clicks" hold out 15% of the queries and stop by their clicks instead.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.benchmarks import lambdamart
from eval.benchmarks.timing import say
from eval.statistics import bootstrap as resampled
from eval.statistics import corrected, interval, randomisation
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.features import Judged
from ranking.clicks.ltr.fit import Fitted, Recipe, fit
from ranking.clicks.ltr.measures import ndcg
from ranking.clicks.ltr.model import Model
from ranking.clicks.ltr.objectives.registry import NAIVE
from ranking.clicks.ltr.scorers import FeatureScorer
from ranking.clicks.ltr.simulation import (
    AffinePeople,
    attraction,
    graded_scorer,
    position_bias,
    simulate,
    trust_bias,
)
from ranking.clicks.ltr.svmrank import read_svmrank
from ranking.clicks.ltr.training import Options, score_rows
from ranking.clicks.sessions import Floats, Sessions

RANKS = 10
BARS = {NAIVE: 0.742, "dla": 0.745}  # for position bias, of one study with 4 seeds
NOISE = 0.01
SHARE, EPOCHS, STEPS = 0.1, 10, 20
PRODUCTION, SKYLINE = "production (10% of grades)", "all grades, listwise"


@dataclass(frozen=True)
class Row:
    """One line of the table: a recipe, and where its propensities come from ("", "true", "affine" or "estimated")."""

    recipe: Recipe
    bias: str = ""


def rows() -> dict[str, Row]:
    def row(objective: str, bias: str = "", held_out: float = 0.0, **options: Any) -> Row:
        # Stopping by clicks has the epochs that it needs.
        training = Options() if held_out else Options(epochs=EPOCHS)
        return Row(Recipe(objective, held_out=held_out, options=training, **options), bias)

    return {
        "naive-pointwise": row("naive-pointwise"),
        NAIVE: row(NAIVE),
        "ipw-pointwise, true": row("ipw-pointwise", "true"),
        "ipw-listwise, true": row("ipw-listwise", "true"),
        "ipw-listwise, true, self-normalised": row("ipw-listwise", "true", self_normalised=True),
        "ipw-listwise, estimated": row("ipw-listwise", "estimated"),
        "dla": row("dla"),
        "two-tower (= regression EM)": row("two-tower"),
        "two-tower, dropout .3": row("two-tower", dropout=0.3),
        "two-tower-additive": row("two-tower-additive"),
        "pair-debias": row("pair-debias"),
        "propensity-ratio, true": row("propensity-ratio", "true"),
        "affine-pointwise, true": row("affine-pointwise", "affine"),
        "affine-listwise, true": row("affine-listwise", "affine"),
        "direct, true": row("direct", "affine"),
        "doubly-robust, true": row("doubly-robust", "affine"),
        "naive-listwise, stopped by clicks": row(NAIVE, held_out=0.15),
        "ipw-listwise, true, stopped by clicks": row("ipw-listwise", "true", held_out=0.15),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CLICKWISE_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--pages", type=int, default=10_000, help="pages that are clicked, per seed")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time, one core each")
    parser.add_argument("--only", nargs="*", help="these lines of the table, and naive-listwise")
    arguments = parser.parse_args()
    folder = arguments.data / "ltr" / "lightgbm-lambdarank"
    if not folder.is_dir():
        sys.exit(f"There is no learning-to-rank data at {folder}: name the data with --data or CLICKWISE_DATA.")
    train = read_svmrank(folder / "rank.train")
    test = read_svmrank(folder / "rank.test", width=train.features.width)
    wanted = {name: row for name, row in rows().items() if not arguments.only or name in {*arguments.only, NAIVE}}
    figures = measured(train, test, wanted, arguments.seeds, arguments.pages, arguments.jobs)
    for setting, table in figures.items():
        print(f"\n{setting}: nDCG@10, {arguments.seeds} seeds, {arguments.pages:,} pages\n" + "\n".join(shown(table)))
    print(f"\nDifferences up to {NOISE} are noise: there are {len(np.unique(test.features.query))} test queries.")
    print(json.dumps({"seeds": arguments.seeds, "pages": arguments.pages, "bars": BARS, **figures}))


def measured(
    train: Judged, test: Judged, wanted: dict[str, Row], seeds: int, pages: int, jobs: int = 1
) -> dict[str, dict[str, dict[str, Any]]]:
    """Setting -> line of the table -> its figures."""
    values: dict[str, dict[str, list[Floats]]] = {}
    seconds: dict[str, list[float]] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_one_core) as pool:
        for seed, found in enumerate(pool.map(partial(one_seed, train, test, wanted, pages), range(seeds))):
            for setting, name, value, taken in found:
                values.setdefault(setting, {}).setdefault(name, []).append(value)
                seconds.setdefault(name, []).extend(taken)
            say(f"seed {seed}; means so far")
            for setting, table in values.items():
                means = {name: float(np.mean(each)) for name, each in table.items()}
                say(f"  {setting}: " + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()))
    return {setting: summary(table, seconds) for setting, table in values.items()}


def _one_core() -> None:
    torch.set_num_threads(1)


def one_seed(
    train: Judged, test: Judged, wanted: dict[str, Row], pages: int, seed: int
) -> list[tuple[str, str, Floats, list[float]]]:
    """(setting, line, nDCG@10 of each test query, CPU seconds if any) of all settings."""
    truths = {"position bias": position_bias(RANKS), "trust bias": trust_bias(RANKS)}
    found: list[tuple[str, str, Floats, list[float]]] = []
    skyline = graded(graded_scorer(train, 1.0, np.random.default_rng(seed), "mlp", STEPS, "auto"), test)
    for production in ("trees", "linear"):
        random = np.random.default_rng(seed)
        scores, quality = produced(production, train, test, random)
        for people, truth in truths.items():
            setting = f"{people}, {production}"
            log = simulate(train.features, scores, attraction(train), AffinePeople(truth), pages, random, ranks=RANKS)
            found += [(setting, PRODUCTION, quality, []), (setting, SKYLINE, skyline, [])]
            for name, fitted, taken in fits(train, log, truth, wanted, seed):
                found.append((setting, name, graded(fitted.scorer, test), [taken]))
    return found


def produced(kind: str, train: Judged, test: Judged, random: np.random.Generator) -> tuple[Floats, Floats]:
    """A production ranker's scores of the rows for training, and its nDCG@10 of each test query."""
    if kind == "linear":
        scorer = graded_scorer(train, SHARE, random, steps=STEPS)
        return score_rows(scorer, len(train.features)), graded(scorer, test)
    trees = lambdamart.lambdamart(train, SHARE, random)
    given = lambdamart.scores(trees, train.features.matrix)
    return given, ndcg(test, lambdamart.scores(trees, test.features.matrix))


def fits(
    train: Judged, log: Sessions, truth: Bias, wanted: dict[str, Row], seed: int
) -> Iterator[tuple[str, Fitted[FeatureScorer], float]]:
    """(name, fitted, CPU seconds) of each line. The estimated propensities are those of the two-tower line."""
    estimated: Bias | None = None
    for name, row in wanted.items():
        recipe = replace(row.recipe, options=replace(row.recipe.options, seed=seed))
        if row.bias == "estimated" and estimated is None:
            estimated = fit(train.features.matrix, log, replace(recipe, objective="two-tower")).believed
        known = {"": None, "true": position_bias(RANKS), "affine": truth, "estimated": estimated}[row.bias]
        began = time.process_time()
        fitted = fit(train.features.matrix, log, recipe, known)
        yield name, fitted, time.process_time() - began


def graded(scorer: FeatureScorer, test: Judged) -> Floats:
    """nDCG@10 of each test query."""
    return ndcg(test, Model(scorer.network).predict(test.features.matrix))


def summary(table: dict[str, list[Floats]], seconds: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Mean and spread over seeds, and the difference to naive listwise with its tests."""
    arrays = {name: np.stack(found) for name, found in table.items()}  # (seeds, queries)
    naive = arrays[NAIVE]
    random = np.random.default_rng(0)
    found: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        difference = array - naive
        by_seed, by_query = difference.mean(axis=1)[:, None], difference.mean(axis=0)[:, None]
        queries = len(by_query)
        means = resampled(by_query, np.ones(queries), np.zeros(queries, dtype=np.int64), 2000, random)
        low, high = interval(means[:, 0], 0.05)
        found[name] = {
            "ndcg10": round(float(array.mean()), 4),
            "std_over_seeds": round(float(array.mean(axis=1).std(ddof=1)), 4) if len(array) > 1 else 0.0,
            "difference": round(float(difference.mean()), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "p_seeds": float(randomisation(by_seed, 10_000, random)[0]),
            "p_queries": float(randomisation(by_query, 10_000, random)[0]),
            "cpu_seconds": round(float(np.mean(seconds[name])), 2) if seconds.get(name) else None,
        }
    others = [name for name in found if name not in (NAIVE, PRODUCTION, SKYLINE)]
    for kind in ("p_seeds", "p_queries"):
        for name, p in zip(others, corrected([found[name][kind] for name in others], "holm"), strict=True):
            found[name][kind] = round(p, 4)
    return found


def shown(table: dict[str, dict[str, Any]]) -> list[str]:
    """The table as text, the best first."""
    lines = [f"{'':<36} {'nDCG@10':>8} {'+-':>6} {'- naive':>8} {'95% (queries)':>17} {'p seeds':>8} {'p queries':>9}"]
    for name, row in sorted(table.items(), key=lambda item: -item[1]["ndcg10"]):
        band = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        lines.append(
            f"{name:<36} {row['ndcg10']:>8.4f} {row['std_over_seeds']:>6.4f} {row['difference']:>+8.4f} {band:>17}"
            f" {row['p_seeds']:>8.3f} {row['p_queries']:>9.3f}"
        )
    return lines


if __name__ == "__main__":
    main()
