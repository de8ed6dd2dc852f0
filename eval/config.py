"""An experiment as it is written down: one TOML file, every choice in it, ours as defaults.

name = "mine"
baseline = "bm25-qe"
measures = ["nDCG@20", "AP@100"]        # as ir_measures writes them; the first one is the tables'
[protocol]                              # eval/protocol.py
k = [2, 4, 8]
[user]                                  # eval/users.py, for feedback = "clicks"
model = "cascade"
[debiasing]                             # ranking/clicks/debias.py, for rankers that read debiased clicks
relevant = 0.15
[statistics]                            # eval/statistics.py
correction = "holm"
[index]                                 # how the collections are indexed
encoder = "default"
[rankers.knn]                           # eval/rankers.py
grid = { "knn.query_weight" = [0.5, 1.0, 2.0] }
[collections.med]                       # eval/collections.py
source = "med"
[published.robust04]                    # figures of others, to stand beside ours
"BM25-QE" = 0.4964
[pipelines.NAME]                        # more pipelines, as in clickwise.toml
"""

from __future__ import annotations

import os
import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from eval.collections import CollectionSpec
from eval.measures import DEFAULTS, canonical
from eval.protocol import Protocol
from eval.rankers import RankerSpec
from eval.statistics import Statistics
from eval.users import USERS, User
from index.errors import InputError, NotFoundError
from ranking.clicks.debias import Debiasing
from ranking.options import build, number, unknown

DATA = "../shared/data"  # where CLICKWISE_DATA is not set
_NAME = re.compile(r"[\w+-][\w.+-]*")
TABLES = ("protocol", "user", "debiasing", "statistics", "index", "rankers", "collections", "published", "pipelines")


@dataclass(frozen=True)
class IndexSpec:
    """How collections are indexed: the options of `clickwise index build` that change rankings."""

    encoder: str = "default"
    conditioning: Literal["none", "centred", "whitened"] = "whitened"
    analyzer: str = "english"
    layout: Literal["flat", "multifield"] = "flat"
    k1: float = number(0.9, low=0.0)
    b: float = number(0.4, low=0.0, high=1.0)


@dataclass(frozen=True)
class Head:
    """What stands above the tables. `data` is the folder where relative paths of collections begin."""

    name: str = "experiment"
    description: str = ""
    data: str = "$CLICKWISE_DATA/collections"
    measures: tuple[str, ...] = DEFAULTS
    baseline: str = ""


@dataclass(frozen=True)
class Experiment:
    """A configuration, checked. `pipelines` is the table of further pipelines as it was written."""

    head: Head
    protocol: Protocol
    user: User
    statistics: Statistics
    index: IndexSpec
    rankers: Mapping[str, RankerSpec]
    collections: Mapping[str, CollectionSpec]
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    pipelines: Mapping[str, Any] = field(default_factory=dict)
    debiasing: Debiasing = field(default_factory=Debiasing)

    @property
    def primary(self) -> str:
        """The measure of the tables and of the choices."""
        return self.head.measures[0]

    @property
    def folder(self) -> Path:
        """Where relative paths of collections begin."""
        variables = {"CLICKWISE_DATA": DATA, **os.environ}
        return Path(string.Template(self.head.data).safe_substitute(variables)).expanduser()

    def to_dict(self) -> dict[str, Any]:
        """The configuration as resolved, with every default written out."""
        model = next(name for name, kind in USERS.items() if isinstance(self.user, kind))
        return {
            **asdict(self.head),
            "protocol": asdict(self.protocol),
            "user": {"model": model, **asdict(self.user)},  # type: ignore[call-overload]
            "debiasing": asdict(self.debiasing),
            "statistics": asdict(self.statistics),
            "index": asdict(self.index),
            "rankers": {name: asdict(ranker) for name, ranker in self.rankers.items()},
            "collections": {name: _given(spec) for name, spec in self.collections.items()},
            "published": {name: dict(figures) for name, figures in self.published.items()},
            "pipelines": dict(self.pipelines),
        }


def read_config(path: str) -> dict[str, Any]:
    """The tables of a file, or of an experiment that Clickwise brings along, by its name."""
    packaged = files("eval") / "experiments" / f"{path.removesuffix('.toml')}.toml"
    try:
        if not Path(path).exists() and os.sep not in path and packaged.is_file():
            text = packaged.read_text(encoding="utf-8")
        else:
            text = Path(path).read_text(encoding="utf-8")
        return tomllib.loads(text)
    except FileNotFoundError:
        ours = sorted(entry.name.removesuffix(".toml") for entry in (files("eval") / "experiments").iterdir())
        raise NotFoundError(f"There is no experiment {path}.", f"Name a file, or one of {', '.join(ours)}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.", "Mend the file.") from None


def parse_config(tables: Mapping[str, Any], source: str) -> Experiment:
    """Check a configuration. Raises InputError that says where it is wrong and what would be right."""
    for key in tables:
        if key not in TABLES and key not in {option.name for option in fields(Head)}:
            raise unknown("key", key, [*(option.name for option in fields(Head)), *TABLES], source)
    head = build(Head, {k: v for k, v in tables.items() if k not in TABLES}, source, besides=TABLES)
    if not head.measures:
        raise InputError(f"{source}: there are no measures.", "Name some, or leave the line out.")
    named = {name: _table(tables, name, source) for name in TABLES}
    rankers = {
        name: _ranker(table, f"{source}, ranker {name!r}")
        for name, table in _sections(named["rankers"], "rankers", source)
    }
    collections = {
        name: build(CollectionSpec, table, f"{source}, collection {name!r}")
        for name, table in _sections(named["collections"], "collections", source)
    }
    if head.baseline and head.baseline not in rankers:
        raise unknown("ranker", head.baseline, rankers, f"{source}, baseline")
    if not rankers or not collections:
        raise InputError(f"{source}: there is nothing to measure.", "Name rankers and collections.")
    baseline = head.baseline or next(iter(rankers))
    head = Head(head.name, head.description, head.data, canonical(head.measures), baseline)
    return Experiment(
        head,
        build(Protocol, named["protocol"], f"{source}, [protocol]"),
        _user(named["user"], f"{source}, [user]"),
        build(Statistics, named["statistics"], f"{source}, [statistics]"),
        build(IndexSpec, named["index"], f"{source}, [index]"),
        rankers,
        collections,
        _published(named["published"], source),
        named["pipelines"],
        build(Debiasing, named["debiasing"], f"{source}, [debiasing]"),
    )


def merged(tables: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with changes laid over them, table by table."""
    result = dict(tables)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def differences(one: Mapping[str, Any], other: Mapping[str, Any], table: str = "") -> Iterator[str]:
    """The options that differ between two configurations as resolved, by dotted names; the description is none."""
    for key in [*one, *(key for key in other if key not in one)]:
        first, second = one.get(key), other.get(key)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from differences(first, second, f"{table}{key}.")
        elif first != second and f"{table}{key}" != "description":
            yield f"{table}{key}"


def setting(text: str) -> dict[str, Any]:
    """`protocol.k=[2, 4]` as tables; what is no TOML value is taken as text. Raises InputError for other text."""
    key, mark, value = text.partition("=")
    if not mark or not key.strip():
        raise InputError(f"--set {text} is not usable.", "Write it as protocol.k=[2,4].")
    for written in (value, f'"{value.strip()}"'):
        try:
            return tomllib.loads(f"{key.strip()} = {written}")
        except tomllib.TOMLDecodeError:
            continue
    raise InputError(f"--set {text} is not usable.", "Write it as protocol.k=[2,4].")


def _table(tables: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, Mapping):
        raise InputError(f"{source}: {name!r} is no table.", f"Write [{name}] and its keys.")
    return dict(table)


def _sections(table: Mapping[str, Any], name: str, source: str) -> list[tuple[str, dict[str, Any]]]:
    for key, section in table.items():
        if not isinstance(section, Mapping):
            raise InputError(f"{source}: {name}.{key} is no table.", f"Write [{name}.{key}] and its keys.")
        if not _NAME.fullmatch(key) or key == "mean":  # names are parts of files' names, and a column is the mean
            raise InputError(f"{source}: {key!r} cannot be a name.", "Use letters, digits, dots and hyphens.")
    return [(key, dict(section)) for key, section in table.items()]


def _ranker(table: dict[str, Any], where: str) -> RankerSpec:
    maps = {name: table.pop(name, {}) for name in ("options", "grid")}
    for name, value in maps.items():
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: {name!r} is no table.", f'Write {name} = {{ "stage.option" = ... }}.')
    for option, values in maps["grid"].items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{where}: the grid of {option!r} is {values!r}.", "Give a list of values.")
    plain = build(RankerSpec, table, where, besides=maps)
    return replace(plain, **maps)


def _user(table: dict[str, Any], where: str) -> User:
    model = table.pop("model", "position-based")
    if model not in USERS:
        raise unknown("model", model, USERS, where)
    return build(USERS[model], table, where, besides=("model",))


def _published(table: Mapping[str, Any], source: str) -> dict[str, dict[str, float]]:
    published: dict[str, dict[str, float]] = {}
    for collection, figures in _sections(table, "published", source):
        for method, value in figures.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{source}: published.{collection}.{method} is {value!r}.", "It must be a number.")
        published[collection] = {method: float(value) for method, value in figures.items()}
    return published


def _given(spec: CollectionSpec) -> dict[str, Any]:
    """The options of a collection, less the empty ones, which would contradict each other when read again."""
    return {name: value for name, value in asdict(spec).items() if value != ""}
