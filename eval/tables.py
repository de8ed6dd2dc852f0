"""Tables of results, for people (Markdown, HTML), papers (LaTeX) and programs (CSV, JSON)."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Cell: TypeAlias = str | float | int | None


_LATEX = str.maketrans(
    {char: "\\" + char for char in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\N{EN DASH}": "--"}
)


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns. Numbers are shown with `digits`, those of the columns `p` as p-values; `marks` are
    put after a cell, `bold` stands out.

    `name` is the file's, `caption` says what it shows and `notes` what the marks mean.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    digits: int = 3
    bold: frozenset[tuple[int, int]] = frozenset()
    marks: Mapping[tuple[int, int], str] | None = None
    p: frozenset[int] = frozenset()

    def text(self, row: int, column: int) -> str:
        """A cell as it is shown, without its mark."""
        cell = self.rows[row][column]
        if cell is None:
            return "\N{EN DASH}"
        if isinstance(cell, float):
            if column in self.p:
                return p_text(cell)
            shown = f"{cell:.{self.digits}f}"
            return shown.replace("0.", ".", 1) if abs(cell) < 1 and self.digits > 2 else shown
        return f"{cell:,}" if isinstance(cell, int) else cell

    def mark(self, row: int, column: int) -> str:
        return (self.marks or {}).get((row, column), "")

    def is_number(self, column: int) -> bool:
        return any(isinstance(row[column], int | float) for row in self.rows)

    def to_markdown(self) -> str:
        aligned = ["---:" if self.is_number(column) else "---" for column in range(len(self.columns))]
        lines = [f"**{self.caption}**", "", _pipes(map(_escaped, self.columns)), _pipes(aligned)]
        for i in range(len(self.rows)):
            cells = []
            for j in range(len(self.columns)):
                shown = _escaped(self.text(i, j))
                mark = f" ({_escaped(self.mark(i, j))})" if self.mark(i, j) else ""
                cells.append((f"**{shown}**" if (i, j) in self.bold else shown) + mark)
            lines.append(_pipes(cells))
        return "\n".join([*lines, "", *(f"{note}  " for note in self.notes)]).rstrip() + "\n"

    def to_latex(self) -> str:
        """A table for the package booktabs."""
        aligned = "".join("r" if self.is_number(column) else "l" for column in range(len(self.columns)))
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(self.caption)}}}", rf"\label{{tab:{self.name}}}"]
        lines += [rf"\begin{{tabular}}{{{aligned}}}", r"\toprule", " & ".join(map(_latex, self.columns)) + r" \\"]
        lines.append(r"\midrule")
        for i in range(len(self.rows)):
            cells = []
            for j in range(len(self.columns)):
                shown = _latex(self.text(i, j))
                shown = rf"\textbf{{{shown}}}" if (i, j) in self.bold else shown
                mark = self.mark(i, j)
                cells.append(shown + (rf"$^{{{_latex(mark)}}}$" if mark else ""))
            lines.append(" & ".join(cells) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\\ {{\footnotesize {_latex(note)}}}" for note in self.notes]
        return "\n".join([*lines, r"\end{table}"]) + "\n"

    def to_csv(self) -> str:
        """Whole numbers and floats in full; an empty cell where there is nothing."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if cell is None else cell for cell in row] for row in self.rows])
        return file.getvalue()

    def to_json(self) -> str:
        """`rows` by the names of columns; beside it all that `from_json` needs to show the table again."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        looks = {
            "columns": list(self.columns),
            "digits": self.digits,
            "bold": sorted(self.bold),
            "marks": [[i, j, mark] for (i, j), mark in sorted((self.marks or {}).items())],
            "p": sorted(self.p),
        }
        return json.dumps({"caption": self.caption, "rows": rows, "notes": list(self.notes), **looks}, indent=1) + "\n"

    @classmethod
    def from_json(cls, name: str, text: str) -> Table:
        """The table that `to_json` wrote, also without its looks. Raises ValueError or KeyError for other text."""
        held = json.loads(text)
        columns = held.get("columns") or list(held["rows"][0] if held["rows"] else ())
        return cls(
            name,
            held["caption"],
            columns,
            [[row[column] for column in columns] for row in held["rows"]],
            held["notes"],
            held.get("digits", 3),
            frozenset((i, j) for i, j in held.get("bold", ())),
            {(i, j): mark for i, j, mark in held.get("marks", ())},
            frozenset(held.get("p", ())),
        )

    def shown(self) -> dict[str, Any]:
        """The table as values for whoever shows it: cells with their text, value, mark and whether they stand out."""
        return {
            "name": self.name,
            "caption": self.caption,
            "notes": list(self.notes),
            "columns": [{"name": name, "number": self.is_number(j)} for j, name in enumerate(self.columns)],
            "rows": [
                [
                    {"text": self.text(i, j), "value": cell, "mark": self.mark(i, j), "bold": (i, j) in self.bold}
                    for j, cell in enumerate(row)
                ]
                for i, row in enumerate(self.rows)
            ],
        }

    def to_html(self) -> str:
        head = "".join(
            f"<th{_number_class(self.is_number(j))}>{html.escape(name)}</th>" for j, name in enumerate(self.columns)
        )
        body = []
        for i in range(len(self.rows)):
            cells = []
            for j in range(len(self.columns)):
                shown = html.escape(self.text(i, j))
                shown = f"<b>{shown}</b>" if (i, j) in self.bold else shown
                mark = f"<sup>{html.escape(self.mark(i, j))}</sup>" if self.mark(i, j) else ""
                cells.append(f"<td{_number_class(self.is_number(j))}>{shown}{mark}</td>")
            body.append(f"<tr>{''.join(cells)}</tr>")
        notes = "".join(f"<p class=note>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<figure class=table><figcaption>{html.escape(self.caption)}</figcaption><div class=scroll>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{notes}</figure>"
        )


FORMATS = {"md": Table.to_markdown, "tex": Table.to_latex, "csv": Table.to_csv, "json": Table.to_json}
"""The ending of a file -> how a table is written to it."""


def p_text(p: float) -> str:
    """A p-value in three digits, never as zero."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def best_in_columns(rows: Sequence[Sequence[Cell]]) -> frozenset[tuple[int, int]]:
    """The cells that hold the highest number of their column."""
    best = set()
    for column in range(len(rows[0]) if rows else 0):
        values = {i: cell for i, row in enumerate(rows) if isinstance(cell := row[column], float)}
        top = max(values.values(), default=None)
        best |= {(i, column) for i, cell in values.items() if cell == top}
    return frozenset(best)


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def _latex(text: str) -> str:
    return text.translate(_LATEX)


def _number_class(number: bool) -> str:
    return " class=n" if number else ""
