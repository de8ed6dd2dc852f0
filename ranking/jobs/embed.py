"""The job `embed`: a corpus to vectors, and after a change of the corpus only what is new in it.

Documents are spread over partitions by a hash of their ids, and a partition is a part: one file of the output, sorted
by id. A partition that is done again takes the vectors of unchanged documents from the file that it replaces, so the
output is at any moment a table of whole partitions, and at the end just the corpus.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from index.encoder import checksum_of, locate
from index.readers import ReadReport, read_documents
from index.readers.irds import PREFIX
from index.types import Document
from ranking.jobs.embedder import Embedding
from ranking.jobs.engine import Task
from ranking.jobs.inputs import fingerprint, input_files
from ranking.jobs.job import Job, Part
from ranking.jobs.output import Output
from ranking.jobs.partitions import Partitions
from ranking.options import build, number


@dataclass(frozen=True)
class Options:
    """What a job of this kind may say beside input and output.

    encoder, max_tokens: as in `index.encoder.load_encoder`; 0 tokens: all that the model reads. format, columns: of the
        corpus, as in `index.readers.read_documents`; a column is written NAME=COLUMN.
    partitions: files of the output, at most: one that no document falls into is not written. A worker holds the vectors
        of one of them; it is fixed when the output is new.
    max_rejects: records that may be rejected, any number below 0.
    """

    encoder: str = "default"
    max_tokens: int = number(0, low=0)
    format: str = ""
    columns: tuple[str, ...] = ()
    partitions: int = number(64, low=1, high=99_999)
    max_rejects: int = number(-1, low=-1)


def plan(job: Job) -> EmbedPlan:
    """Raises InputError for options that do not fit, NotFoundError for a corpus that is not there."""
    return EmbedPlan(job, build(Options, job.options, "Job embed"))


@dataclass(frozen=True)
class EmbedPlan:
    """How a corpus is embedded: see `ranking.jobs.running.Plan`."""

    job: Job
    options: Options

    @property
    def max_rejects(self) -> int | None:
        return self.options.max_rejects if self.options.max_rejects >= 0 else None

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        options, corpus = self.options, self.job.input
        return {
            "input": corpus if corpus.startswith(PREFIX) else fingerprint(input_files(corpus)),
            "encoder": f"{options.encoder} ({self._checksum[:12]})",
            "max tokens": options.max_tokens,
            "partitions": options.partitions,
            "columns": " ".join(options.columns),
            "clickwise": importlib.metadata.version("clickwise"),
        }

    @cached_property
    def _checksum(self) -> str:
        return checksum_of(*locate(self.options.encoder))

    def follows(self, before: Mapping[str, Any]) -> bool:
        """The vectors of the same model are taken up, whatever has become of the corpus."""
        return all(before.get(name) == self.facts[name] for name in ("encoder", "max tokens", "partitions"))

    def parts(self, output: Output, advance: Callable[[int], None], stop: threading.Event) -> Sequence[Part]:
        with Partitions(output.prepared(), self.options.partitions) as partitions:
            for row, document in enumerate(self._documents(partitions)):
                partitions.add(document.id, row, document.contents)
                advance(1)
                if stop.is_set():
                    break
        return partitions.parts()

    def task(self, output: Output) -> Task:
        return Embedding(output, self.options.encoder, self.options.max_tokens or None, self._checksum)

    def finish(self, output: Output, parts: Sequence[Part]) -> None:
        """Delete the files of partitions that have no documents any more."""
        output.keep_only(parts)

    def _documents(self, partitions: Partitions) -> Iterator[Document]:
        options = self.options
        columns = dict(column.partition("=")[::2] for column in options.columns)
        report = ReadReport(on_bad=partitions.reject)
        return read_documents(
            self.job.input, format=options.format or None, columns=columns, on_error="skip", report=report
        )
