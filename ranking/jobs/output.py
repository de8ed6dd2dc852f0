"""What a job leaves behind.

    OUTPUT/part-00000.parquet …   what came of each part, in the order of the input
    OUTPUT/_manifest.json         the job, the facts that decide its output, its parts; at the end its summary
    OUTPUT/_rejects.jsonl         the rows that could not be used, with reasons; made at the end, where there are any

and while it is under way:

    OUTPUT/_done/00000.json       the mark of a part: all else that belongs to it is there, whole
    OUTPUT/_rejects/00000.jsonl   the rejects of a part
    OUTPUT/_input/                what has been prepared of the input

Names that begin with an underscore are what pyarrow.dataset leaves out: the folder reads as one table.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from index.errors import ConflictError
from index.places import check_folder
from ranking.jobs.job import Done, Job, Part, Summary
from ranking.jobs.storage import Place, parquet_bytes

FORMAT: Final = 1
_MANIFEST: Final = "_manifest.json"
_FOLDERS: Final = ("_done", "_rejects", "_input")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`facts` decide the output; equal facts and parts give equal bytes. `summary` is there when the job is done."""

    job: Job
    facts: Mapping[str, Any]
    parts: Sequence[Part]
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """The folder of a job's output. Goes to workers, who write their own parts."""

    place: Place

    def part(self, number: int) -> Place:
        return self.place / f"part-{number:05d}.parquet"

    def prepared(self) -> Place:
        """The folder for what has to be prepared of the input; deleted with the job's end."""
        return self.place / "_input"

    def rejects(self) -> Place:
        return self.place / "_rejects.jsonl"

    def keep(self, done: Done, table: pa.Table, rejects: Sequence[Mapping[str, Any]] = ()) -> Done:
        """Write what came of a part, and its mark when all of it is there."""
        self.part(done.part).write(parquet_bytes(table))
        if rejects:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rejects)
            (self.place / "_rejects" / f"{done.part:05d}.jsonl").write(lines.encode("utf-8", "replace"))
        self._mark(done.part).write(json.dumps(asdict(done)).encode())
        return done

    def keep_only(self, parts: Sequence[Part]) -> None:
        """Delete what came of other parts, of an earlier state of the input."""
        names = {self.part(part.number).name for part in parts}
        for file in self.place.files():
            if file.name.startswith("part-") and file.name not in names:
                file.delete()

    def done(self) -> dict[int, Done]:
        """The parts that are done, by number."""
        marks = [mark for mark in (self.place / "_done").files() if _shown(mark)]
        with ThreadPoolExecutor(16) as readers:  # small objects elsewhere cost their way there and back
            found = [Done(**json.loads(content)) for content in readers.map(Place.read, marks)]
        return {done.part: done for done in found}

    def load(self) -> Manifest | None:
        """The manifest, None where there is none. Raises ConflictError for one that is not usable."""
        place = self.place / _MANIFEST
        if not place.is_file():
            return None
        try:
            stored = json.loads(place.read())
            summary = stored["summary"]
            if stored["format"] != FORMAT:
                raise ValueError
            return Manifest(
                Job(**stored["job"]),
                stored["facts"],
                [Part(**part) for part in stored["parts"]],
                Summary(**summary) if summary else None,
            )
        except (ValueError, KeyError, TypeError):
            raise ConflictError(f"{place} is damaged or of another version.", "Start anew with --overwrite.") from None

    def save(self, manifest: Manifest) -> None:
        stored = {"format": FORMAT, **asdict(manifest)}
        (self.place / _MANIFEST).write((json.dumps(stored, indent=1, sort_keys=True) + "\n").encode())

    def finish(self, manifest: Manifest, summary: Summary) -> None:
        """Join the rejects, note in the manifest that all is done, and tidy up."""
        found = [file for file in (self.place / "_rejects").files() if _shown(file)]
        if found:
            self.rejects().write(b"".join(file.read() for file in found))
        else:
            self.rejects().delete()  # of an earlier state of the input
        self.save(Manifest(manifest.job, manifest.facts, manifest.parts, summary))
        self.tidy()

    def tidy(self) -> None:
        """Delete what is needed only while the job is under way, and what killed writers have left."""
        for name in _FOLDERS:
            (self.place / name).delete_folder()
        for file in self.place.files():
            if file.name.startswith((".part-", "._")):
                file.delete()

    def check_empty(self) -> None:
        """Raise ConflictError where the folder holds something that is not ours to overwrite."""
        strange = [file.name for file in self.place.files() if not file.name.startswith((".", "_lock"))]
        if strange:
            raise ConflictError(
                f"{self.place} holds files already ({strange[0]}), and no job's manifest.", "Name another output."
            )

    def clear(self) -> None:
        """Delete what an earlier job has left, its manifest first: without it nothing counts."""
        if not (self.place / _MANIFEST).is_file():
            return
        (self.place / _MANIFEST).delete()
        self.tidy()
        for file in self.place.files():
            if file.name.startswith("part-") or file.name == self.rejects().name:
                file.delete()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out while this one lasts. Objects elsewhere have no locks: there it is the caller's care.

        Raises ConflictError where another run is at work, InputError where the place is a file.
        """
        folder = self.place.local
        if folder is None:
            yield
            return
        check_folder(folder).mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "_lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConflictError(f"Another run is writing to {self.place}.", "Wait until it has ended.") from None
            yield
        finally:
            os.close(handle)

    def _mark(self, number: int) -> Place:
        return self.place / "_done" / f"{number:05d}.json"


def _shown(file: Place) -> bool:
    return not file.name.startswith(".")  # what a killed writer has left
