"""Batch jobs over HTTP: asked for at the service, done by `clickwise worker` processes, so that searches stay quick.

    POST /v1/jobs ─> a row in the store ─> a worker takes it under a lease ─> a child process does it
    GET /v1/jobs/{id} <─ progress and result <─ heartbeats of the worker <─ reports of the child

- `queue.py`: the rows. A lease ends by itself when its worker dies, and another goes on where it was.
- `worker.py`, `child.py`: who takes jobs, and the process that does one.
- `kinds.py`: what each kind of job does. To add one: a request in `server.schemas_jobs`, a function here.
- `roots.py`: jobs read and write below the folders of the setting `job_roots` only.
"""
