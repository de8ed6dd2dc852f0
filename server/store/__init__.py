"""The store: impressions and events, durable before they are acknowledged, on SQLite or PostgreSQL.

To add a table, or anything else that outlives a process:

1. Declare the table in `server.store.tables`, or in a module of your own on its METADATA (name it in `_MODULES` of
   `tests/server/store/test_schema.py`, so that it is compared).
2. Write the migration that makes it: `migrations/versions/vNNNN_what.py` with the next number, `revision = "NNNN"` and
   `down_revision` the number before. Migrations hold their own words for the tables, never `server.store.tables`: they
   must do the same in a year. They run in one transaction with whatever else is missing, on both databases.
3. Read with `store.reading()` and write with `store.writing()`: transactions whose failures are errors with a mend.
   Inside `writing()`, `store.claim(connection, "name")` makes a transaction wait for others with that name.

`clickwise serve` and whatever else opens a store brings its schema up to date; `tests/server/store/test_schema.py`
compares what the migrations make with what the tables say.
"""

from server.store.adding import unknown_query
from server.store.records import Page, Round, StoredQuery
from server.store.store import Store

__all__ = ["Page", "Round", "Store", "StoredQuery", "unknown_query"]
