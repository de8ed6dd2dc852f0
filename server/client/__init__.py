"""A typed client of the HTTP service, blocking or not.

    from server.client import Client

    with Client("http://127.0.0.1:8080", key="...") as client:
        answer = client.search("copy a folder")
        client.feedback(answer.query_id, answer.hits[0].id, "relevant")
        again = client.search(query_id=answer.query_id)

Answers are the service's own schemas. What goes wrong raises an `ApiError` that carries the problem in the service's
own words, or `ConnectionFailedError` where the service cannot be reached. Batch jobs, which `clickwise worker` does:

        job = client.submit(RerankJob(kind="rerank", input="data/rows.parquet", output="data/ranked"))
        done = client.wait(job.id, timeout=3600)
"""

from server.client.blocking import Client
from server.client.errors import (
    ApiError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    InvalidError,
    MissingError,
    OverloadedError,
    UnauthorizedError,
    UnavailableError,
)
from server.client.unblocking import AsyncClient
from server.client.waiting import JobFailedError, JobUnfinishedError

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ConflictError",
    "ConnectionFailedError",
    "ForbiddenError",
    "InvalidError",
    "JobFailedError",
    "JobUnfinishedError",
    "MissingError",
    "OverloadedError",
    "UnauthorizedError",
    "UnavailableError",
]
