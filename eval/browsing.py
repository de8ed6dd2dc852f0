"""The run directories of one folder, as plain values for whoever shows them: listed, opened, compared, by topic.

Names come from outside, so a run is only ever one of the folder's own directories: nothing that a name says leads
elsewhere, and neither does a link. A run that is damaged is a ConflictError, whatever is wrong with its files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from eval.comparing import RunDirectory, comparison_table, operands
from eval.looking import look
from eval.tables import Table
from index.errors import ConflictError, NotFoundError

ORDER: Final = ("main", "comparisons", "published", "rounds", "k", "measures", "latency", "stages", "choices", "taught")
"""The tables that come first, in this order; the others follow by name."""
_BROKEN: Final = (OSError, ValueError, LookupError, TypeError, AttributeError)


class Browser:
    """Reads the folder anew at every call. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def runs(self) -> list[dict[str, Any]]:
        """Every complete run, the newest first; one whose summary cannot be read is left out."""
        found = [summary for path in self._paths() if (summary := _summary(path)) is not None]
        return sorted(found, key=lambda run: (run["created"], run["name"]), reverse=True)

    def run(self, name: str) -> dict[str, Any]:
        """A run with its rankers and tables. Raises NotFoundError for one that is not here."""
        path = self._path(name)
        with _whole(path):
            opened, summary = RunDirectory(path), _summarised(path)
            tables = [Table.from_json(file.stem, file.read_text(encoding="utf-8")) for file in _tables(path)]
        return {
            **summary,
            "description": opened.experiment.head.description,
            "baseline": opened.experiment.head.baseline,
            "rankers": opened.rankers,
            "measures": list(opened.experiment.head.measures),
            "k": list(opened.experiment.protocol.k),
            "tables": [table.shown() for table in tables],
        }

    def topics(self, name: str, first: str, second: str, measure: str = "") -> dict[str, Any]:
        """The value of two rankers for each topic that both measure, with the difference first - second."""
        path = self._path(name)
        with _whole(path):
            opened = RunDirectory(path)
            mine, theirs = opened.scored(first, measure), opened.scored(second, measure)
            asked = _queries(path)
        rows: list[dict[str, Any]] = [
            {
                "collection": collection,
                "topic": topic,
                "query": asked.get((collection, topic), ""),
                "first": value,
                "second": theirs.values[collection, topic],
                "difference": value - theirs.values[collection, topic],
            }
            for (collection, topic), value in mine.values.items()
            if (collection, topic) in theirs.values
        ]
        rows.sort(key=lambda row: (-row["difference"], row["collection"], row["topic"]))
        return {"measure": mine.measure, "first": first, "second": second, "topics": rows}

    def topic(
        self,
        name: str,
        topic: str,
        collection: str = "",
        rankers: Sequence[str] = (),
        k: int | None = None,
        depth: int = 20,
    ) -> dict[str, Any]:
        """One topic with its feedback and the rankings of some rankers. Errors: those of `eval.looking.look`."""
        path = self._path(name)
        with _whole(path):
            return look(path, topic, collection, rankers, k, depth)

    def compare(self, first: str, second: str, measure: str = "") -> dict[str, Any]:
        """Every ranker that both runs have, topic by topic, p-values corrected together."""
        mine, theirs = self._path(first), self._path(second)
        with _whole(mine, theirs):
            return comparison_table(operands(str(mine), str(theirs), None, None, measure, 1)).shown()

    def _paths(self) -> list[Path]:
        try:
            held = sorted(self.folder.iterdir())
        except OSError:
            return []
        here = self.folder.resolve()
        return [path for path in held if path.resolve().parent == here and (path / "summary.json").is_file()]

    def _path(self, name: str) -> Path:
        for path in self._paths():
            if path.name == name:
                return path
        error = NotFoundError(f"There is no run {name!r}.", "GET /v1/evaluations lists them.")
        error.field = "run"
        raise error


@contextmanager
def _whole(*paths: Path) -> Iterator[None]:
    """Raises ConflictError where files of a run are missing or damaged; errors of the house pass through."""
    try:
        yield
    except _BROKEN as error:
        names = " or ".join(dict.fromkeys(path.name for path in paths))
        raise ConflictError(f"The run {names} cannot be read whole.", "Run the experiment again.") from error


def _summary(path: Path) -> dict[str, Any] | None:
    try:
        return _summarised(path)
    except _BROKEN:
        return None


def _summarised(path: Path) -> dict[str, Any]:
    found = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    return {
        "run": path.name,
        "name": found["name"],
        "created": found.get("created", ""),
        "measure": found["measure"],
        "means": found["mean_ndcg20"],
        "topics": found["topics"],
        "best_of_ours": found.get("best_of_ours"),
        "best_of_paper": found.get("best_of_paper"),
        "gain": found.get("gain_over_paper"),
        "gain_interval": found.get("gain_interval"),
        "gain_p": found.get("gain_p_corrected"),
        "skipped": found.get("skipped", {}),
    }


def _tables(path: Path) -> list[Path]:
    place = {name: number for number, name in enumerate(ORDER)}
    return sorted((path / "tables").glob("*.json"), key=lambda file: (place.get(file.stem, len(place)), file.stem))


def _queries(path: Path) -> dict[tuple[str, str], str]:
    stored = json.loads((path / "topics.json").read_text(encoding="utf-8"))
    return {(name, row["topic"]): row["query"] for name, part in stored.items() for row in part["kept"]}
