"""What can be asked of the service: one function per route, which says what to send and how to read the answer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from server.schemas import BulkAnswer, DocumentAnswer, ErasedAnswer, FeedbackAnswer, SearchAnswer, WrittenAnswer
from server.schemas_catalog import ExperimentsAnswer, IndexesAnswer, InterleavingAnswer, PipelinesAnswer
from server.schemas_jobs import AnyJob, JobAnswer, JobsAnswer, State
from server.schemas_operation import ReleaseInfo, ReleasesAnswer, WhoAmIAnswer
from server.schemas_rerank import JinaAnswer

A = TypeVar("A")
M = TypeVar("M", bound=BaseModel)
Kind = Literal["click", "relevant", "not_relevant", "none"]


class SearchOptions(TypedDict, total=False):
    """Members of `POST /v1/search` beside the query: see `server.schemas.SearchRequest`."""

    query_id: str
    index: str
    pipeline: str
    limit: int
    offset: int
    filter: str
    explain: bool
    highlight: bool
    session_id: str
    user_id: str
    feedback: Sequence[Mapping[str, Any]]
    exclude_feedback: bool
    deadline_ms: int


class FeedbackOptions(TypedDict, total=False):
    """Members of `POST /v1/feedback` beside what happened: see `server.schemas.FeedbackRequest`."""

    position: int
    dwell_ms: int
    idempotency_key: str


class RerankOptions(TypedDict, total=False):
    """Members of `POST /v1/rerank` beside query and documents: see `server.schemas_rerank.RerankRequest`."""

    model: str
    top_n: int
    return_documents: bool
    raw_scores: bool
    feedback: Sequence[Mapping[str, Any]]
    deadline_ms: int


class DocumentOptions(TypedDict, total=False):
    """The parts of a document."""

    title: str
    text: str
    fields: Mapping[str, Any]


class JobsOptions(TypedDict, total=False):
    """Parameters of `GET /v1/jobs`: only jobs in this state, with a lower id than `before`, at most `limit`."""

    state: State
    before: int
    limit: int


@dataclass(frozen=True)
class Call(Generic[A]):
    """One request. `repeatable`: sent twice it does what it does once, so it may be sent again when nobody knows
    whether it arrived. `removes`: where it was sent again, a 404 says that it had been done."""

    method: str
    path: str
    read: Callable[[httpx.Response], A]
    repeatable: bool
    body: Any = None
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    removes: bool = False


def search(query: str | None, options: SearchOptions) -> Call[SearchAnswer]:
    body = {**({} if query is None else {"query": query}), **options}
    # A search is recorded as an impression: one more where nobody knows whether it arrived is no harm to its caller,
    # and harm to the click log.
    return Call("POST", "/v1/search", _as(SearchAnswer), False, body)


def feedback(query_id: str, document: str, kind: Kind, options: FeedbackOptions) -> Call[FeedbackAnswer]:
    key = {"idempotency_key": f"client-{uuid.uuid4()}"}
    body = {**key, "query_id": query_id, "document": document, "kind": kind, **options}
    return Call("POST", "/v1/feedback", _as(FeedbackAnswer), True, body)


def rerank(query: str, documents: Sequence[str], options: RerankOptions) -> Call[JinaAnswer]:
    return Call("POST", "/v1/rerank", _as(JinaAnswer), True, {"query": query, "documents": list(documents), **options})


def document(document_id: str, index: str | None) -> Call[DocumentAnswer]:
    return Call("GET", _path("documents", document_id), _as(DocumentAnswer), True, params=_index(index))


def put(document_id: str, index: str | None, parts: DocumentOptions) -> Call[WrittenAnswer]:
    return Call("PUT", _path("documents", document_id), _as(WrittenAnswer), True, dict(parts), _index(index))


def delete(document_id: str, index: str | None) -> Call[None]:
    return Call("DELETE", _path("documents", document_id), _nothing, True, params=_index(index), removes=True)


def bulk(documents: Iterable[Mapping[str, Any]], index: str | None) -> Call[BulkAnswer]:
    lines = "".join(f"{json.dumps(one)}\n" for one in documents).encode()
    return Call("POST", "/v1/documents:bulk", _as(BulkAnswer), True, params=_index(index), content=lines)


def erase(person: str) -> Call[ErasedAnswer]:
    return Call("DELETE", _path("people", person), _as(ErasedAnswer), True)


def indexes() -> Call[IndexesAnswer]:
    return Call("GET", "/v1/indexes", _as(IndexesAnswer), True)


def pipelines() -> Call[PipelinesAnswer]:
    return Call("GET", "/v1/pipelines", _as(PipelinesAnswer), True)


def interleaving(confidence: float) -> Call[InterleavingAnswer]:
    return Call("GET", "/v1/interleaving", _as(InterleavingAnswer), True, params={"confidence": str(confidence)})


def experiments(confidence: float) -> Call[ExperimentsAnswer]:
    return Call("GET", "/v1/experiments", _as(ExperimentsAnswer), True, params={"confidence": str(confidence)})


def releases() -> Call[ReleasesAnswer]:
    return Call("GET", "/admin/releases", _as(ReleasesAnswer), True)


def activate_index(name: str, generation: str | None, share: float) -> Call[ReleaseInfo]:
    return _activate(f"indexes/{_quoted(name)}", {"generation": generation, "share": share})


def activate_model(name: str, model: str, share: float) -> Call[ReleaseInfo]:
    return _activate(f"models/{_quoted(name)}", {"model": model, "share": share})


def activate_click_model(model: str, share: float) -> Call[ReleaseInfo]:
    return _activate("click-models", {"model": model, "share": share})


def _activate(what: str, body: Mapping[str, Any]) -> Call[ReleaseInfo]:
    # A canary that is activated again is another experiment.
    return Call("POST", f"/admin/{what}:activate", _as(ReleaseInfo), False, body)


def submit(job: AnyJob | Mapping[str, Any], idempotency_key: str | None) -> Call[JobAnswer]:
    told = job.model_dump(exclude_unset=True) if isinstance(job, BaseModel) else dict(job)
    body = {"job": told, "idempotency_key": idempotency_key or f"client-{uuid.uuid4()}"}
    return Call("POST", "/v1/jobs", _as(JobAnswer), True, body)


def job(job_id: int) -> Call[JobAnswer]:
    return Call("GET", f"/v1/jobs/{job_id}", _as(JobAnswer), True)


def jobs(options: JobsOptions) -> Call[JobsAnswer]:
    params = {name: str(value) for name, value in options.items()}
    return Call("GET", "/v1/jobs", _as(JobsAnswer), True, params=params)


def cancel(job_id: int) -> Call[JobAnswer]:
    return Call("POST", f"/v1/jobs/{job_id}:cancel", _as(JobAnswer), True)


def whoami() -> Call[WhoAmIAnswer]:
    return Call("GET", "/v1/whoami", _as(WhoAmIAnswer), True)


def _as(schema: type[M]) -> Callable[[httpx.Response], M]:
    return lambda response: schema.model_validate_json(response.content)


def _nothing(_: httpx.Response) -> None: ...


def _path(kind: str, name: str) -> str:
    return f"/v1/{kind}/{_quoted(name)}"


def _quoted(name: str) -> str:
    # Dots alone would lead to another route: /v1/documents/../people/x is /v1/people/x to whoever sends it on.
    return "/".join(quote(part) if part.strip(".") else part.replace(".", "%2E") for part in name.split("/"))


def _index(name: str | None) -> dict[str, str]:
    return {} if name is None else {"index": name}
