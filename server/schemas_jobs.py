"""What goes over the wire for batch jobs. See `server.schemas` for the rest."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter

from server.schemas import Answer, Body, ShortText, Text

State: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
Place = Annotated[
    Text, Field(min_length=1, max_length=1_000, description="below a folder of the setting job_roots: ROOT/path")
]
_EXAMPLES: Final[list[JsonValue]] = [
    {
        "job": {"kind": "rerank", "input": "data/rows.parquet", "output": "data/ranked", "pipeline": "fused"},
        "idempotency_key": "nightly-2026-11-27",
    },
    {"job": {"kind": "embed", "input": "data/corpus.jsonl", "output": "data/vectors"}},
    {"job": {"kind": "fit-clicks", "input": "data/log", "output": "data/click-model", "model": "pbm"}},
    {"job": {"kind": "train", "input": "data/tasks.parquet", "output": "data/model", "steps": 2000}},
]


class RerankJob(Body):
    """Rank the documents of many queries, as `clickwise rerank` does."""

    kind: Literal["rerank"]
    input: Place
    output: Place
    index: ShortText | None = Field(default=None, description="by name; the default one where left out")
    pipeline: ShortText | None = Field(default=None, description="by name; the index's own where left out")
    topics: Place | None = Field(default=None, description="the queries that a TREC run answers")
    feedback: Place | None = Field(default=None, description="judgements, or a click log")
    relevant: int = Field(default=1, ge=-100, le=100, description="the least grade that is relevant")
    click_model: Place | None = Field(default=None, description="what fit-clicks wrote, to debias the log")
    limit: int = Field(default=1_000, ge=1, le=100_000, description="documents kept per query")
    stages: bool = Field(default=False, description="keep the scores of every stage")
    exclude_feedback: bool = Field(default=False, description="leave documents with feedback out of the rankings")
    max_rejects: int | None = Field(default=None, ge=0, description="rows that may be rejected; any number")
    run: Place | None = Field(default=None, description="the rankings as a TREC run, too")


class EmbedJob(Body):
    """Turn a corpus into vectors, as `clickwise embed` does; into an output that is there already, only what is new."""

    kind: Literal["embed"]
    input: Place
    output: Place
    index: ShortText | None = Field(
        default=None, description="with the encoder of this index; with the packaged one where left out"
    )
    format: ShortText | None = Field(default=None, description="of the corpus; by its names where left out")
    columns: list[ShortText] = Field(default=[], max_length=100, description="NAME=COLUMN, for tables")
    partitions: int = Field(default=64, ge=1, le=99_999, description="files of the output, at most")
    max_rejects: int | None = Field(default=None, ge=0, description="records that may be rejected; any number")


class FitClicksJob(Body):
    """Fit a click model to a click log, as `clickwise clicks fit` does."""

    kind: Literal["fit-clicks"]
    input: Place
    output: Place
    model: ShortText = "pbm"
    iterations: int = Field(default=100, ge=1, le=10_000)
    prior: Literal["auto", "global", "exposure", "query"] = "auto"
    split: Literal["order", "spread"] = "order"
    overwrite: bool = Field(default=False, description="replace the click model that is there")


class TrainJob(Body):
    """Train a cross-encoder from a file of tasks, as `clickwise train cross-encoder` does."""

    kind: Literal["train"]
    input: Place
    output: Place
    method: Literal["meta", "supervised"] = "meta"
    steps: int = Field(default=1_000, ge=1, le=10_000_000)
    seed: int = Field(default=0, ge=0, le=2**31)
    tokens: int = Field(default=128, ge=16, le=512)
    pairs: int = Field(default=40, ge=1, le=10_000)
    documents: int = Field(default=9, ge=3, le=1_000)
    rank: int = Field(default=24, ge=1, le=384)
    rate: float = Field(default=5e-4, gt=0, le=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"


AnyJob: TypeAlias = RerankJob | EmbedJob | FitClicksJob | TrainJob
ANY_JOB: Final[TypeAdapter[AnyJob]] = TypeAdapter(Annotated[AnyJob, Field(discriminator="kind")])


class JobRequest(Body):
    """Long work over files, for a worker to do."""

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    job: Annotated[AnyJob, Field(discriminator="kind")]
    idempotency_key: ShortText | None = Field(default=None, description="send it again under the same key: one job")


class JobProgress(Answer):
    """How far a job has come, in rows or steps; null where nobody knows. `remaining_s` is in seconds."""

    stage: str
    done: int
    total: int | None
    rejected: int = 0
    per_second: float | None = None
    remaining_s: float | None = None


class JobProblem(Answer):
    """Why a job failed, or its last attempt did."""

    kind: str
    message: str
    advice: str


class JobAnswer(Answer):
    """A job: what was asked for, how far it is and what came of it. Times in UTC. `cancelling`: it will end soon."""

    id: int
    kind: str
    state: State
    cancelling: bool
    attempts: int
    created: str
    started: str | None
    finished: str | None
    job: dict[str, Any]
    progress: JobProgress | None
    result: dict[str, Any] | None
    problem: JobProblem | None
    unread: list[str] = Field(
        default=[], description="members that this version cannot read in the record, and why; null, or as recorded"
    )


class JobsAnswer(Answer):
    """The newest jobs first; `next` is what to give as `before` for more, null at the end."""

    jobs: list[JobAnswer]
    next: int | None
