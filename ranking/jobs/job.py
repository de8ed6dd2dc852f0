"""The nouns of batch jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from index.errors import InputError


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    `kind` is a name of `ranking.jobs.kinds`. `input` and `output` are paths, or URIs that pyarrow or fsspec know
    (s3://, gs://, file:// ...). `options` are those of the kind, as plain values: a job is JSON.
    """

    kind: str
    input: str
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Raises InputError for what is no job."""
        try:
            values = json.loads(text)
            job = cls(**values)
        except (ValueError, TypeError):
            raise InputError("This is no job.", "Give kind, input, output and options.") from None
        if not (all(isinstance(v, str) for v in (job.kind, job.input, job.output)) and isinstance(job.options, dict)):
            raise InputError("This is no job.", "kind, input and output are texts, options an object.")
        return job


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the input, the unit of work and of resuming. `rows` it has, after `first` others of the input;
    `source` says, in the words of its kind and as plain values, where they are."""

    number: int
    first: int
    rows: int
    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a part: `rows` of the input, of which some were `rejected`, in so many seconds of its worker.
    `counts` are further numbers that the summary adds up."""

    part: int
    rows: int
    rejected: int
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """How far a job has come. `stage` is "reading", "starting", "working" or "finishing"; `rows` is None while nobody
    knows. `rows_per_second` counts this run alone; `remaining` is in seconds, None while nobody knows."""

    stage: str
    done: int = 0
    rows: int | None = None
    rejected: int = 0
    rows_per_second: float = 0.0
    remaining: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a job, all its runs together.

    `resumed` counts the rows that earlier runs had done; `seconds` is the time of this run. `stopped` says that the
    job was stopped before its end: running it again goes on.
    """

    output: str
    rows: int
    rejected: int
    parts: int
    resumed: int
    seconds: float
    stopped: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
