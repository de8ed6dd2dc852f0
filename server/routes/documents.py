"""Documents: read, write, delete, and many at once."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from server.access import Guarded
from server.documents import BulkLines
from server.door import TheDoor, problems
from server.schemas import BulkAnswer, DocumentAnswer, DocumentBody, WrittenAnswer

router = APIRouter(prefix="/v1", tags=["documents"], route_class=Guarded)

IndexName = Annotated[str | None, Query(alias="index", description="which index; the default one where left out")]
BATCH: Final = 1_000_000  # bytes of a bulk body that are checked at a time

_NDJSON: Final = {
    "requestBody": {
        "required": True,
        "description": "One document per line. Documents of the same id replace one another; the last one stays.",
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"id": "a", "title": "First", "text": "…", "fields": {"year": 2024}}\n'
                '{"id": "b", "title": "Second", "text": "…"}\n',
            }
        },
    }
}


@router.get("/documents/{document_id:path}", response_model=DocumentAnswer, responses=problems(404, 422, 503))
async def read_document(document_id: str, door: TheDoor, index: IndexName = None) -> Response:
    """One document as it is stored."""
    return await door.answer(lambda: door.service.documents.get(index, document_id))


@router.put(
    "/documents/{document_id:path}",
    response_model=WrittenAnswer,
    responses={201: {"model": WrittenAnswer, "description": "Created"}, **problems(400, 404, 409, 413, 422, 503)},
)
async def write_document(document_id: str, body: DocumentBody, door: TheDoor, index: IndexName = None) -> Response:
    """Add (201) or replace (200) one document. It is durable, and found, when this answers."""
    return await door.answer(
        lambda: door.service.documents.put(index, document_id, body),
        lambda written: 201 if written.created else 200,
        lane="writes",
    )


@router.delete("/documents/{document_id:path}", status_code=204, responses=problems(404, 409, 422, 503))
async def delete_document(document_id: str, door: TheDoor, index: IndexName = None) -> Response:
    """Delete one document, durably."""
    return await door.answer(lambda: door.service.documents.delete(index, document_id), lane="writes")


@router.post(
    "/documents:bulk",
    response_model=BulkAnswer,
    openapi_extra=_NDJSON,
    responses=problems(404, 409, 413, 422, 503),
)
async def write_documents(request: Request, door: TheDoor, index: IndexName = None) -> Response:
    """Add or replace many documents in one commit: all of them, or none where a line cannot be used.

    The problem lists the faulty lines (the first hundred) in `errors`. The body is checked as it arrives.
    """
    lines = BulkLines(door.service.settings.max_document_bytes)
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= BATCH:
            batch, waiting = bytes(waiting), bytearray()
            await door.run(partial(lines.feed, batch))

    def write() -> BulkAnswer:
        lines.feed(bytes(waiting))
        return door.service.documents.bulk(index, lines)

    return await door.answer(write, lane="writes")
