"""Batch jobs: long work over much input, cut into parts, on any number of processes, resumed where it was killed.

A **Job** says what is to be done: its kind, where its input and its output are, and options. `run` does it:

    from ranking.jobs import Job, run

    job = Job("rerank", "s3://bucket/rows", "/data/ranked", {"index": ".clickwise/indexes/python", "pipeline": "knn"})
    summary = run(job)

Whoever watches or stops it (the command line, a worker of the server's queue) hands in `on_report`, which is called
with a `Report`, and `stop`, a `threading.Event`. A stopped, failed or killed job goes on where it was when it is run
again. `LocalEngine` of `ranking.jobs.local` has processes of its own work on it, `RayEngine` those of a
cluster.

**How it works.** `ranking/jobs/kinds.py` names the module of each kind, whose `plan(job)` gives a `Plan`: the facts
that decide the output, the parts, the `Task` that workers carry out and what comes after the last part. A `Part` is a
stretch of the input (some row groups); what comes out of it depends on nothing but the part and the facts. `run`
compares the facts with those in the manifest of the output, and gives the parts that are not done yet to an engine.

**Another engine** (see `Engine`) takes a `Task`, which can be pickled, to wherever its workers are, calls `task.open()`
there once per worker and `worker.work(part, advance)` for each part, and yields what that returns. A worker writes its
own output, whole or not at all, and its mark last: a part may be given out twice, and nothing is lost or doubled.
"""

from ranking.jobs.engine import Engine, InProcess, Task, Worker
from ranking.jobs.job import Done, Job, Part, Report, Summary
from ranking.jobs.running import Plan, run

__all__ = ["Done", "Engine", "InProcess", "Job", "Part", "Plan", "Report", "Summary", "Task", "Worker", "run"]
