"""The click log as Arrow tables: impressions, and the events that belong to them.

One impression is one result page as it was shown; one event is what a person did with a document of it. They meet by
`query_id`. On disk a log is a directory of Parquet files, `impressions/*.parquet` and `events/*.parquet`.
"""

from __future__ import annotations

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

IMPRESSIONS = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),  # names the page; unique in a log
        pa.field("query", pa.string(), nullable=False),
        pa.field("documents", pa.list_(pa.string()), nullable=False),  # in the order shown
        pa.field("ranks", pa.list_(pa.int32()), nullable=False),  # from 1, ascending; a hole is a slot without document
        pa.field("pipeline", pa.string()),
        pa.field("pipeline_version", pa.string()),
        pa.field("model", pa.string()),  # hash of the model that ranked
        pa.field("propensities", pa.list_(pa.float64())),  # of showing each document where it was, if randomised
        pa.field("scores", pa.list_(pa.float64())),  # of the policy, per document
        pa.field("arm", pa.string()),  # experiment or randomisation
        pa.field("session", pa.string()),
        pa.field("client", pa.string()),
        pa.field("time", _TIME),
        pa.field("device", pa.string()),
    ]
)

EVENTS = pa.schema(
    [
        pa.field("event_id", pa.string()),
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("document", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # click, dwell, judgement, last_click
        pa.field("rank", pa.int32()),  # where it was shown, from 1
        pa.field("relevance", pa.float64()),  # of a judgement, in [0, 1]
        pa.field("weight", pa.float64()),
        pa.field("dwell_ms", pa.int64()),
        pa.field("time", _TIME),
    ]
)
