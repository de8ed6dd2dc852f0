"""Documents one by one and in bulk: what is acknowledged is durable and found by the next search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from index.errors import NotFoundError
from index.types import Document, id_problem
from server.answers import fields_of
from server.catalog import Catalog
from server.faults import fault_reason, field_name
from server.problems import BulkError
from server.schemas import BulkAnswer, DocumentAnswer, DocumentBody, DocumentLine, WrittenAnswer

MOST_ERRORS: Final = 100
"""Faults of a bulk body that are listed; beyond them only lines are counted."""


class Documents:
    """Reads and writes documents of the catalog's indexes. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def get(self, index_name: str | None, doc_id: str) -> DocumentAnswer:
        """Raises NotFoundError where there is none."""
        name, index = self._catalog.index(index_name)
        document = index.view().lexical.document(doc_id)
        if document is None:
            raise _no_document(doc_id, name)
        return DocumentAnswer(
            id=document.id, title=document.title, text=document.text, fields=fields_of(document), index=name
        )

    def put(self, index_name: str | None, doc_id: str, body: DocumentBody) -> WrittenAnswer:
        """Add or replace a document; durable on return. Raises InputError for an id or field that does not fit."""
        name, index = self._catalog.index(index_name)
        created = doc_id not in index.view().lexical
        index.upsert([_document(doc_id, body)])
        return WrittenAnswer(id=doc_id, index=name, created=created)

    def delete(self, index_name: str | None, doc_id: str) -> None:
        """Durable on return. Raises NotFoundError where there is none."""
        name, index = self._catalog.index(index_name)
        if not index.delete([doc_id]):
            raise _no_document(doc_id, name)

    def bulk(self, index_name: str | None, lines: BulkLines) -> BulkAnswer:
        """Add or replace all documents of a body in one commit, durable on return; or none and BulkError."""
        name, index = self._catalog.index(index_name)
        return BulkAnswer(index=name, upserted=index.upsert(lines.documents()))


class BulkLines:
    """Reads NDJSON as it arrives: one document per line, blank lines ignored. Not thread-safe.

    Every line is checked before anything is written, so that a body is taken whole or not at all.
    """

    def __init__(self, max_document_bytes: int) -> None:
        self._most = max_document_bytes
        self._rest = b""  # the beginning of a line whose end has not come yet
        self._skipping = False  # that line is too long already: the rest of it is not kept
        self._line = 0
        self._faulty = 0
        self._errors: list[tuple[int, str | None, str]] = []
        self._documents: dict[str, Document] = {}

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._read(line)
        if len(self._rest) > self._most:
            self._skipping, self._rest = True, b""

    def documents(self) -> list[Document]:
        """All documents, after the last `feed`: of several with one id the last. Raises BulkError."""
        self._read(self._rest)
        self._rest = b""
        if self._errors:
            raise BulkError(self._errors, self._faulty)
        return list(self._documents.values())

    def _read(self, line: bytes) -> None:
        self._line += 1
        if not line.strip() and not self._skipping:
            return
        if self._skipping or len(line) > self._most:
            self._skipping = False
            self._fault(None, f"the document has more than {self._most:,} bytes")
            return
        try:
            body = DocumentLine.model_validate(json.loads(line))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            self._fault(field_name(first["loc"]), fault_reason(first))
        except (ValueError, RecursionError) as error:
            self._fault(None, f"not JSON in UTF-8 ({error})")
        else:
            if fault := id_problem(body.id):
                self._fault("id", fault)
            elif not self._errors:  # else nothing will be written anyway
                self._documents[body.id] = _document(body.id, body)

    def _fault(self, field: str | None, reason: str) -> None:
        self._faulty += 1
        self._documents.clear()
        if len(self._errors) < MOST_ERRORS:
            self._errors.append((self._line, field, reason))


def _document(doc_id: str, body: DocumentBody) -> Document:
    fields: Mapping[str, Any] = body.fields
    return Document(doc_id, body.title, body.text, fields)


def _no_document(doc_id: str, index: str) -> NotFoundError:
    return NotFoundError(f"There is no document {doc_id!r} in the index {index!r}.", "Check its id.")
