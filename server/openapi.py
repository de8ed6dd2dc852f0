"""The OpenAPI document: what FastAPI makes of the routes, and what it cannot know.

`python -m server.openapi docs/openapi.json` writes the document that is checked in; a test holds it against the app.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from server import access, problems

QUERY: Final = "$response.body#/query_id"
LINKS: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "POST /v1/search 200": {
        "RankAgain": {
            "path": "/v1/search",
            "method": "post",
            "requestBody": {"query_id": QUERY},
            "description": "The same question with all feedback so far: a new round.",
        },
        "Feedback": {
            "path": "/v1/feedback",
            "method": "post",
            "requestBody": {"query_id": QUERY, "document": "$response.body#/hits/0/id", "kind": "relevant"},
            "description": "What a person did with a hit.",
        },
        "Read": {
            "path": "/v1/documents/{document_id}",
            "method": "get",
            "parameters": {"document_id": "$response.body#/hits/0/id", "index": "$response.body#/index"},
            "description": "A hit as it is stored.",
        },
    },
    "POST /v1/feedback 201": {
        "RankAgain": {
            "path": "/v1/search",
            "method": "post",
            "requestBody": {"query_id": QUERY},
            "description": "The question again, with this feedback.",
        }
    },
    "PUT /v1/documents/{document_id} 201": {
        "Delete": {
            "path": "/v1/documents/{document_id}",
            "method": "delete",
            "parameters": {"document_id": "$response.body#/id", "index": "$response.body#/index"},
            "description": "Delete what was written.",
        }
    },
    "POST /v1/jobs 202": {
        "Look": {
            "path": "/v1/jobs/{job_id}",
            "method": "get",
            "parameters": {"job_id": "$response.body#/id"},
            "description": "How far the job is, and what came of it.",
        },
        "Cancel": {
            "path": "/v1/jobs/{job_id}:cancel",
            "method": "post",
            "parameters": {"job_id": "$response.body#/id"},
            "description": "End the job.",
        },
    },
    "POST /admin/keys 201": {
        "Revoke": {
            "path": "/admin/keys/{key_id}",
            "method": "delete",
            "parameters": {"key_id": "$response.body#/id"},
            "description": "End the key.",
        }
    },
}
"""Method, path and status -> the requests that an answer leads to, as OpenAPI's links."""


def install(app: FastAPI) -> None:
    """Complete the document that the application serves at /openapi.json."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            access.document(document)
            _tell_problems(document)
            _tell_links(document)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_problems(document: dict[str, Any]) -> None:
    """Errors are application/problem+json."""
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and "application/json" in response.get("content", {}):
                    response["content"][problems.MEDIA_TYPE] = response["content"].pop("application/json")


def _tell_links(document: dict[str, Any]) -> None:
    for where, links in LINKS.items():
        method, path, status = where.split()
        document["paths"][path][method.lower()]["responses"][status]["links"] = {
            name: {
                "operationId": document["paths"][link["path"]][link["method"]]["operationId"],
                **{key: value for key, value in link.items() if key not in ("path", "method")},
            }
            for name, link in links.items()
        }


def rendered() -> str:
    """The document as it is checked in: without the version, which changes with every release."""
    from server.app import create_app
    from server.settings import Settings

    app = create_app(Settings())
    document = app.openapi()
    app.state.house.close()
    document["info"]["version"] = "checked in"
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(rendered(), encoding="utf-8")
