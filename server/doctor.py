"""`clickwise doctor`: what this machine brings, what is wrong with it, and what mends that.

One function per subject, each a generator of checks; `CHECKUPS` lists them. A new one needs nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from index.errors import ClickwiseError, NotFoundError
from server.configuration import load_settings
from server.settings import Settings

Status = Literal["ok", "warning", "problem"]
MINIMUM_SQLITE = (3, 35)  # RETURNING
SCARCE_DISK, NO_DISK = 2 << 30, 200 << 20  # bytes
CPU_FLAGS = ("avx2", "avx512_f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
VNNI_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: `advice` says how to mend a warning (works, but less well) or a problem (does not work)."""

    name: str
    status: Status
    detail: str
    advice: str = ""


def python(settings: Settings) -> Iterator[Check]:
    yield Check("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def packages(settings: Settings) -> Iterator[Check]:
    """Every package that Clickwise requires, against the versions that it asks for."""
    from packaging.requirements import Requirement

    versions: list[str] = []
    unfit: list[str] = []
    for line in metadata.requires("clickwise") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            unfit.append(f"{wanted.name} is missing")
            continue
        versions.append(f"{wanted.name} {version}")
        if not wanted.specifier.contains(version, prereleases=True):
            unfit.append(f"{wanted.name} {version} is not {wanted.specifier}")
    if unfit:
        yield Check("Packages", "problem", "; ".join(unfit), "Install again: pip install -c constraints.txt -e .")
    else:
        yield Check("Packages", "ok", ", ".join(versions))


def java(settings: Settings) -> Iterator[Check]:
    """The Java that is chosen, started for real, and the Lucene in it."""
    from index.java import anserini_jar, find_java, java_class

    runtime = find_java()
    heap = int(java_class("java.lang.Runtime").getRuntime().maxMemory()) >> 20
    yield Check("Java", "ok", f"{runtime.version} from {runtime.reason}, {runtime.home}; heap up to {heap} MB")
    lucene = java_class("org.apache.lucene.util.Version").LATEST.toString()
    anserini = anserini_jar().name.removeprefix("anserini-").removesuffix("-fatjar.jar")
    yield Check("Lucene", "ok", f"{lucene}, Anserini {anserini}")


def processor(settings: Settings) -> Iterator[Check]:
    """Torch, and what the CPU can do for it."""
    import torch

    from index.encoder_bert import native_bf16

    yield Check("Torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    able = torch.cpu.get_capabilities()
    flags = [flag for flag in CPU_FLAGS if able.get(flag)]
    bf16, vnni = native_bf16(), bool(VNNI_FLAGS.intersection(flags))
    detail = f"{os.cpu_count()} cores; bf16 {_yes(bf16)}, VNNI {_yes(vnni)} ({', '.join(flags) or 'none known'})"
    yield Check("CPU", "ok", detail if bf16 else f"{detail}; models run in float32, at about a third of the speed")


def models(settings: Settings) -> Iterator[Check]:
    """The packaged embedding model, with its checksum."""
    from index.encoder import load_encoder

    try:
        encoder = load_encoder("default")
    except ClickwiseError as problem:
        yield Check("Default model", "warning", problem.message, problem.advice)
    else:
        yield Check("Default model", "ok", f"{encoder.dimension} dimensions, checksum {encoder.checksum[:12]} is right")


def store(settings: Settings) -> Iterator[Check]:
    """Where impressions and events go: SQLite, and the store itself where there is one."""
    fits = sqlite3.sqlite_version_info >= MINIMUM_SQLITE
    wanted = ".".join(map(str, MINIMUM_SQLITE))
    yield Check(
        "SQLite",
        "ok" if fits else "problem",
        sqlite3.sqlite_version if fits else f"{sqlite3.sqlite_version} is older than {wanted}",
        "" if fits else "Use a newer Python, or name another database with CLICKWISE_STORE_URL.",
    )
    from server.store import schema
    from server.store.database import database_at

    try:
        with closing(database_at(settings.store_address, missing_ok=False)) as database:
            with database.reading() as connection:
                found = schema.revision(connection)
            schema.check(found, database.where)
    except NotFoundError:
        return  # nothing has been recorded yet
    except ClickwiseError as problem:
        yield Check("Store", "problem", problem.message, problem.advice)
        return
    mend = "" if found == schema.NEWEST else "Run clickwise store migrate; the server does so too when it starts."
    yield Check("Store", "warning" if mend else "ok", f"{database.where}, schema {found or 'of an old version'}", mend)


def disk(settings: Settings) -> Iterator[Check]:
    """Room and permission where indexes and the store live."""
    home = settings.home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / 2**30:.1f} GB free for {settings.home}"
    if not os.access(place, os.W_OK):
        yield Check("Disk", "problem", f"{place} cannot be written", "Change its permissions, or set CLICKWISE_HOME.")
    elif free < SCARCE_DISK:
        yield Check("Disk", "problem" if free < NO_DISK else "warning", detail, "Free some space.")
    else:
        yield Check("Disk", "ok", detail)


def indexes(settings: Settings) -> Iterator[Check]:
    """Every index that the service would open, opened."""
    from index.index import Index

    found = settings.index_paths()
    if not found:
        yield Check("Indexes", "ok", f"none in {settings.home}; 'clickwise index build --python-docs' makes one")
    for name, path in found.items():
        try:
            index = Index.open(path)
        except ClickwiseError as problem:
            yield Check(f"Index {name}", "problem", problem.message, problem.advice)
            continue
        try:
            view = index.view()
            vectors = "with vectors" if view.vectors is not None else "without vectors"
            detail = f"documents: {view.documents:,}, {vectors}, {path}"
            if view.documents:
                yield Check(f"Index {name}", "ok", detail)
            else:
                yield Check(f"Index {name}", "warning", detail, f"Add some: clickwise index update {name} SOURCE.")
        finally:
            index.close()


CHECKUPS: tuple[Callable[[Settings], Iterator[Check]], ...] = (
    python, packages, java, processor, models, store, disk, indexes,
)  # fmt: skip


def examine(flags: Mapping[str, Any]) -> Iterator[Check]:
    """All checks, one after the other; one that fails itself is a problem, not the end of the others."""
    try:
        settings = load_settings(flags)
    except ClickwiseError as problem:
        yield Check("Settings", "problem", problem.message, problem.advice)
        settings = Settings.model_construct()  # the defaults, so that the rest can be looked at
    else:
        yield Check("Settings", "ok", f"{settings.config or 'no clickwise.toml'}, home {settings.home}")
    for checkup in CHECKUPS:
        subject = checkup.__name__.capitalize()
        try:
            yield from checkup(settings)
        except ClickwiseError as problem:
            yield Check(subject, "problem", problem.message, problem.advice)
        except Exception as problem:
            reason = " ".join(f"{type(problem).__name__}: {problem}".split())
            yield Check(subject, "problem", reason, "Install again: pip install -c constraints.txt -e .")


@app.command()
def doctor(
    home: Annotated[Path | None, typer.Option(help="Where the indexes and the store live.")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file.")] = None,
    store_url: Annotated[str | None, typer.Option(help="The store. [default: sqlite at home/store.db]")] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Check a running service in place of this machine.")
    ] = None,
    key: Annotated[str | None, typer.Option(envvar="CLICKWISE_KEY", help="The API key to show to it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check Java, models, packages and indexes, or a running service, and say how to mend what is wrong.

    Exits with 1 on a problem.
    """
    checks: list[Check] = []
    for check in _examined(server, key, {"home": home, "config": config, "store_url": store_url}):
        checks.append(check)
        if not as_json:
            _show(check)
    worst = next((status for status in ("problem", "warning") if any(c.status == status for c in checks)), "ok")
    if as_json:
        report: dict[str, Any] = {"status": worst, "checks": [asdict(check) for check in checks]}
        typer.echo(json.dumps(report, ensure_ascii=False))
    if worst == "problem":
        raise typer.Exit(1)


def _examined(server: str | None, key: str | None, flags: Mapping[str, Any]) -> Iterator[Check]:
    if server is None:
        return examine(flags)
    from server.doctor_remote import examine_server

    return examine_server(server, key)


def _show(check: Check) -> None:
    colour = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}[check.status]
    typer.echo(f"{typer.style(f'{check.status:<8}', fg=colour)} {check.name}: {check.detail}")
    if check.advice:
        typer.echo(f"{'':8} mend: {check.advice}")


def _yes(able: bool) -> str:
    return "yes" if able else "no"
