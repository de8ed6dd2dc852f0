"""What the commands that read documents share: their options, the documents, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from index.errors import InputError

if TYPE_CHECKING:
    from index.fields import FieldType
    from index.readers import ReadReport
    from index.types import Document


class OnError(StrEnum):
    stop = "stop"
    skip = "skip"


Source = Annotated[str | None, typer.Argument(help="A file, a folder of files, or irds:ID of ir_datasets.")]
PythonDocs = Annotated[bool, typer.Option("--python-docs", help="Read the documentation of this Python instead.")]
Format = Annotated[str | None, typer.Option("--format", help="The format, where the file's ending does not tell it.")]
Columns = Annotated[
    list[str],
    typer.Option(metavar="NAME=COLUMN", help="Where id, title, text or a field comes from; repeatable."),
]
Errors = Annotated[OnError, typer.Option("--on-error", help="What to do about a record that cannot be used.")]


def documents_of(
    source: str | None, python_docs: bool, source_format: str | None, column: Sequence[str], on_error: OnError
) -> tuple[Iterable[Document], ReadReport]:
    """The documents that the command line asks for, and the report that grows while they are read."""
    from index.readers import ReadReport, read_documents

    if python_docs == (source is not None):
        raise InputError(
            "Both a source and --python-docs were given." if source else "No source of documents was given.",
            "Name a file or folder, or use --python-docs.",
        )
    report = ReadReport()
    if source is None:
        from index.pydocs import python_documents

        return python_documents(), report
    columns = pairs("--column", column, "=", empty=True)
    return read_documents(source, format=source_format, columns=columns, on_error=on_error.value, report=report), report


def pairs(flag: str, values: Sequence[str], mark: str, *, empty: bool = False) -> dict[str, str]:
    """NAME=VALUE options as a dict; a value may be left out only where `empty` gives that a meaning."""
    found = {}
    for value in values:
        key, given, rest = value.partition(mark)
        if not (key and given and (rest or empty)):
            raise InputError(f"{flag} {value} is not usable.", f"Write it as NAME{mark}VALUE.")
        found[key] = rest
    return found


def number_of(flag: str, key: str, value: str) -> float:
    """The value of a NAME=NUMBER option. Raises InputError for what is no number."""
    try:
        return float(value)
    except ValueError:
        raise InputError(f"{flag} {key}={value} is not usable.", "Give a number, as in 2 or 0.5.") from None


def field_types(values: Sequence[str]) -> dict[str, FieldType]:
    """--field NAME:TYPE options by name. Raises InputError for a type that there is not."""
    from index.fields import FIELD_TYPES

    types: dict[str, FieldType] = {kind: kind for kind in FIELD_TYPES}
    given = pairs("--field", values, ":")
    for name, kind in given.items():
        if kind not in types:
            raise InputError(f"--field {name}:{kind} is not usable.", f"The types are: {', '.join(types)}.")
    return {name: types[kind] for name, kind in given.items()}


def counts(report: ReadReport | None) -> dict[str, Any]:
    """The report as members of a JSON object."""
    if report is None:
        return {}
    errors = [problem.message for problem in report.errors]
    return {"skipped": report.skipped, "mended": report.mended, "errors": errors}


def say_what_was_bad(report: ReadReport | None) -> None:
    """The report on stderr, where there is anything to say."""
    if report and report.mended:
        typer.echo(f"In {report.mended:,} documents characters that cannot be stored were replaced.", err=True)
    if report and report.skipped:
        typer.echo(f"Bad records skipped: {report.skipped:,}. The first of them:", err=True)
        for problem in report.errors:
            typer.echo(f"  {problem.message}", err=True)
