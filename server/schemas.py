"""What goes over the wire: the bodies of requests, strictly checked, and of answers. They make `/openapi.json`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError, ValidationError

from index.types import MAX_ID_LENGTH


def _whole(value: str) -> str:
    """Refuse lone surrogates: JSON can carry them, but no text file, index or database can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "the text holds half a surrogate pair") from None
    return value


Text = Annotated[str, AfterValidator(_whole)]


def _field_value(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """One complaint in place of one per type that the value might have had."""
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError(
            "field_value", "a field's value is a text, a finite number, true, false or a list of texts"
        ) from None


FieldValue = Annotated[Text | int | float | bool | list[Text], WrapValidator(_field_value)]
DocumentId = Annotated[Text, Field(min_length=1, max_length=MAX_ID_LENGTH)]
ShortText = Annotated[Text, Field(min_length=1, max_length=200)]
Label = Literal["click", "relevant", "not_relevant"]


class Body(BaseModel):
    """A request: unknown keys, numbers in quotes, NaN and lone surrogates are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class GivenFeedback(Body):
    """Feedback that comes with a search. It stays with the query, as an event of the kind `graded`."""

    document: DocumentId
    relevance: float = Field(ge=0, le=1, description="1 is relevant, 0 is not")
    weight: float = Field(
        default=1.0, ge=0, le=1000, description="how much it counts beside the others; a judgement is 1"
    )


_SEARCH_EXAMPLES: Final[list[JsonValue]] = [
    {"query": "read a file line by line", "limit": 10},
    {"query": "temporary file", "filter": 'kind == "function"', "pipeline": "bm25-qe", "explain": True},
    {"query_id": "5f0c3a4e9d5b4d0f8f0b7a3c2e1d0f9a", "exclude_feedback": False},
    {"query": "parse dates", "feedback": [{"document": "datetime.datetime.strptime", "relevance": 1.0}]},
]


class SearchRequest(Body):
    """A new question (`query`), or one asked before (`query_id`).

    With `query_id` and offset 0 the documents are ranked anew with all feedback so far: a new round. With an offset
    above 0 the answer is another page of the newest round, which stays as it was ranked.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _SEARCH_EXAMPLES})

    query: Text | None = Field(default=None, description="what to search for")
    query_id: ShortText | None = Field(default=None, description="the query_id of an earlier answer")
    index: ShortText | None = Field(default=None, description="which index; the default one where it is left out")
    pipeline: ShortText | None = Field(
        default=None, description="which ranking pipeline; with query_id, that of the round before"
    )
    limit: int = Field(default=10, ge=1, le=100, description="hits per page")
    offset: int = Field(default=0, ge=0, le=1_000_000, description="hits to skip")
    filter: Text | None = Field(
        default=None, description='which documents may answer, as in: kind == "function" and year >= 2020'
    )
    explain: bool = Field(
        default=False, description="tell every hit's rank and score in each stage, and Lucene's account"
    )
    highlight: bool = Field(
        default=True, description="give the best passage of every hit, with the matching words marked"
    )
    session_id: ShortText | None = Field(default=None, description="whose session, for the log: stored as a pseudonym")
    user_id: ShortText | None = Field(default=None, description="which user, for the log: stored as a pseudonym")
    feedback: list[GivenFeedback] = Field(
        default=[], max_length=1000, description="what is known already about some documents, one thing about each"
    )
    exclude_feedback: bool = Field(default=False, description="leave documents with feedback out of the answer")
    deadline_ms: int | None = Field(
        default=None,
        ge=1,
        le=3_600_000,
        description="answer within so many milliseconds, waiting included, by a cheaper ranking (`degraded`: deadline) "
        "if need be; the setting max_deadline_ms bounds it",
    )


class FeedbackLine(Answer):
    """What the ranking knew about one document."""

    document: str
    kind: Literal["click", "relevant", "not_relevant", "graded", "skipped"]
    relevance: float
    weight: float


class Passage(Answer):
    """The best passage of a document; `highlights` are [start, end) character spans of `text`."""

    text: str
    highlights: list[tuple[int, int]]


class StageScore(Answer):
    """Where a stage of the pipeline put a document: 1-based rank and the stage's own score."""

    rank: int
    score: float


class Hit(Answer):
    """One document of the page. `previous_rank` is its rank in the round before, null where there is none."""

    id: str
    rank: int
    score: float
    title: str
    fields: dict[str, FieldValue]
    snippet: Passage | None
    previous_rank: int | None
    feedback: Label | None
    stages: dict[str, StageScore] | None = None
    explanation: str | None = None


class SearchAnswer(Answer):
    """A page of a ranking. `total` counts the documents of the ranking, which is cut at the setting `depth`."""

    query_id: str
    query: str
    index: str
    generation: str
    pipeline: str
    pipeline_version: str
    round: int
    total: int
    offset: int
    limit: int
    score_kind: str = Field(description="what the scores are; they compare within one ranking only")
    degraded: str | None = Field(
        default=None, description="why the ranking is less than the pipeline promises, or null"
    )
    warnings: list[str]
    feedback: list[FeedbackLine]
    timings_ms: dict[str, float]
    hits: list[Hit]


class FeedbackRequest(Body):
    """What a person did with one document.

    The last judgement of a document wins, judgements override clicks, and `none` takes back what was said before.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query_id": "5f0c3a4e9d5b4d0f8f0b7a3c2e1d0f9a",
                    "document": "fileinput.input",
                    "kind": "click",
                    "position": 3,
                    "dwell_ms": 12_000,
                    "idempotency_key": "a2c1c6d6-click-1",
                },
                {"query_id": "5f0c3a4e9d5b4d0f8f0b7a3c2e1d0f9a", "document": "io.open", "kind": "relevant"},
            ]
        }
    )

    query_id: ShortText
    document: DocumentId
    kind: Literal["click", "relevant", "not_relevant", "none"]
    position: int | None = Field(default=None, ge=1, le=1_000_000, description="its 1-based rank when it was shown")
    dwell_ms: int | None = Field(default=None, ge=0, le=2**53, description="how long the person stayed with it")
    idempotency_key: ShortText | None = Field(default=None, description="send it again under the same key: one event")


class FeedbackAnswer(Answer):
    """`duplicate`: this event had been recorded before under its idempotency key, and was not recorded again."""

    event_id: int
    query_id: str
    duplicate: bool


class ErasedAnswer(Answer):
    """How much was removed from the store, durably."""

    queries: int
    rankings: int
    impressions: int
    events: int


class DocumentBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "pathlib.Path.walk",
                    "text": "Walk the directory tree rooted at this path.",
                    "fields": {"kind": "function", "year": 2023},
                }
            ]
        }
    )

    title: Text = ""
    text: Text = ""
    fields: dict[ShortText, FieldValue] = {}


class DocumentLine(DocumentBody):
    """One line of a bulk upsert."""

    id: DocumentId


class DocumentAnswer(Answer):
    id: str
    title: str
    text: str
    fields: dict[str, FieldValue]
    index: str


class WrittenAnswer(Answer):
    """A document was written, durably. `created` is false where it replaced one of the same id."""

    id: str
    index: str
    created: bool


class BulkAnswer(Answer):
    """All documents of the body were written in one commit, durably; of several with one id the last stays."""

    index: str
    upserted: int


class FieldProblem(Answer):
    """One fault of a request: `field` as in `feedback[0].relevance`; `line` (1-based) in a bulk body."""

    field: str | None = None
    line: int | None = None
    detail: str


class Problem(Answer):
    """An error, as application/problem+json (RFC 9457). `detail` says what is wrong and `advice` how to mend it."""

    type: str = Field(examples=["urn:clickwise:problem:invalid-input"])
    title: str
    status: int
    detail: str
    advice: str
    request_id: str
    field: str | None = None
    errors: list[FieldProblem] | None = None
