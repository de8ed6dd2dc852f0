"""What goes over the wire for re-ranking texts, in the dialects of those who came before.

Requests take the words of all of them, and unlike our own bodies also members that we do not know: clients send what
their vendor has added since.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import (
    AliasChoices,
    ConfigDict,
    Field,
    RootModel,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError, ValidationError

from server.schemas import Answer, Body, Text

MOST_TEXTS: Final = 1000


class GivenText(Body):
    """A document as an object; its text is `text`, and whatever else it has comes back with it."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    text: Text


class TextFeedback(Body):
    """What is known of one text: of one that was sent (`index`, from 0), or of any other (`text`)."""

    index: int | None = Field(default=None, ge=0)
    text: Text | None = None
    relevance: float = Field(default=1.0, ge=0, le=1, description="1 is relevant, 0 is not")
    weight: float = Field(default=1.0, ge=0, le=1000, description="how much it counts; a judgement is 1")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.index is None) == (self.text is None):
            raise PydanticCustomError("one_of_two", "name the document by either its index or its text")
        return self


def _document(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """One complaint in place of one per form that a document might have had."""
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError("document", "a document is a text, or an object with its text in `text`") from None


Documents = Annotated[
    list[Annotated[Text | GivenText, WrapValidator(_document)]], Field(min_length=1, max_length=MOST_TEXTS)
]
TOP: Final[Any] = Field(
    default=None,
    ge=1,
    validation_alias=AliasChoices("top_n", "top_k"),
    description="the best so many; all where left out or more than there are",
)
_NAMED: Final = "which reranker: probe (the default), knn or cross-encoder"
_DEADLINE: Final = (
    "our extension: answer within so many milliseconds, by a cheaper ranking (`degraded`: deadline) if need be; the "
    "setting max_deadline_ms bounds it"
)
_FEEDBACK: Final = "our extension: what the searcher said about some texts; the ranking adapts to it"


_LESS: Final = "why the ranking is less than the model promises; not there where it is not"


class _Rerank(Body):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    query: Text
    feedback: Annotated[list[TextFeedback], Field(max_length=1000)] = Field(default=[], description=_FEEDBACK)
    raw_scores: bool = Field(default=False, description="the model's own scores in place of some in [0, 1]")
    model: Text | None = Field(default=None, description=_NAMED)
    deadline_ms: int | None = Field(default=None, ge=1, le=3_600_000, description=_DEADLINE)


class RerankRequest(_Rerank):
    """The request of Cohere (versions 1 and 2), Jina and infinity."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "how to copy a folder",
                    "documents": ["Delete a tree.", "Copy a tree of files.", "Move a file."],
                    "top_n": 2,
                    "feedback": [{"index": 2, "relevance": 0.0}],
                }
            ]
        }
    )

    documents: Documents
    top_n: int | None = TOP
    return_documents: bool = False


class EitherRequest(_Rerank):
    """The request of infinity (`documents`) or of text-embeddings-inference (`texts`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "how to copy a folder",
                    "texts": ["Delete a tree.", "Copy a tree of files."],
                    "return_text": True,
                }
            ]
        }
    )

    documents: Documents | None = None
    texts: Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)] | None = None
    top_n: int | None = TOP
    return_documents: bool = False
    return_text: bool = Field(default=False, description="with `texts`")
    truncate: bool | None = Field(default=None, description="long texts are always read from their beginning")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.documents is None) == (self.texts is None):
            raise PydanticCustomError("one_of_two", "send either documents or texts")
        return self


class TextRank(Answer):
    """One line of text-embeddings-inference's answer."""

    index: int
    score: float
    text: str | None = None


class TextRanks(RootModel[list[TextRank]]):
    """text-embeddings-inference's answer: no more than the list, best first."""


class CohereResult(Answer):
    index: int
    relevance_score: float


class CohereAnswer(Answer):
    id: str
    results: list[CohereResult]
    meta: dict[str, Any]


class JinaResult(Answer):
    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class Usage(Answer):
    """Counted in words, which is what is known before a model cuts them into pieces."""

    total_tokens: int
    prompt_tokens: int


class JinaAnswer(Answer):
    """Jina's answer, which is Cohere's of version 1 as well."""

    id: str
    object: str = "list"
    model: str
    score_kind: str
    degraded: str | None = Field(default=None, description=_LESS)
    usage: Usage
    results: list[JinaResult]


class InfinityResult(Answer):
    index: int
    relevance_score: float
    document: str | None = None


class InfinityAnswer(Answer):
    id: str
    object: str = "rerank"
    model: str
    created: int
    score_kind: str
    degraded: str | None = Field(default=None, description=_LESS)
    usage: Usage
    results: list[InfinityResult]


class ModelInfo(Answer):
    """What text-embeddings-inference tells at /info."""

    model_id: str
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any]
    max_input_length: int
    max_client_batch_size: int
    version: str
    models: list[str] = Field(description="the names that `model` may have")
