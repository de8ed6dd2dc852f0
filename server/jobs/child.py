"""The process that does one job: `python -m server.jobs.child`, started by the worker.

It reads one order from stdin, {"job", "settings", "attempt"}, and writes lines of JSON to stdout: {"progress"} any
number of times, then one of {"result"}, {"problem", "again"} or {"stopped"}. When stdin ends, because the worker wants
it or is dead, the job is stopped. A process of its own gives back what a job took, memory above all, and may be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final, TextIO

from index.errors import ClickwiseError, InputError, OverloadedError, UnavailableError

_EVERY_S: Final = 0.2
"""Between two lines of progress."""
_NICE: Final = 10
"""How far a job stands back when the machine has something else to do: searches, for example."""


def main() -> None:
    """Do the job of stdin."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as out:
        os.dup2(2, 1)  # whatever a library prints goes to the log
        os.nice(_NICE)
        order = json.loads(sys.stdin.readline())
        stop = threading.Event()
        threading.Thread(target=_listen, args=(stop,), daemon=True).start()
        _write(out, _outcome(order, _Teller(out), stop))
    os._exit(0)  # nothing is left to do, and no thread of a library is waited for


def _outcome(order: Mapping[str, Any], teller: _Teller, stop: threading.Event) -> dict[str, Any]:
    try:
        from pydantic import ValidationError

        from server.faults import first_fault
        from server.jobs.kinds import Stopped, Work, perform
        from server.jobs.roots import Roots
        from server.schemas_jobs import ANY_JOB
        from server.settings import Settings

        settings = Settings(**order["settings"])
        work = Work(settings, Roots(settings.job_roots), teller, stop, order["attempt"])
        try:
            job = ANY_JOB.validate_json(order["job"])
        except ValidationError as error:  # another version has asked for it
            raise InputError(
                f"This version cannot read the job: {first_fault(error)}.", "Ask for it anew, in today's words."
            ) from None
        try:
            return {"result": perform(job, work)}
        except Stopped:
            return {"stopped": True}
    except KeyboardInterrupt:
        return {"stopped": True}
    except ClickwiseError as error:
        again = isinstance(error, UnavailableError | OverloadedError)
        return {"problem": {"kind": error.kind, "message": error.message, "advice": error.advice}, "again": again}
    except Exception as error:
        traceback.print_exc()
        what = f"The job failed unexpectedly: {type(error).__name__}."
        return {
            "problem": {"kind": "internal", "message": what, "advice": "Its worker's log tells more."},
            "again": True,
        }


def _listen(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()
    os.kill(os.getpid(), signal.SIGINT)


class _Teller:
    """Writes progress, not too often."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._told, self._stage = out, 0.0, ""

    def __call__(self, progress: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._told >= _EVERY_S or progress["stage"] != self._stage:
            self._told, self._stage = now, progress["stage"]
            _write(self._out, {"progress": progress})


def _write(out: TextIO, line: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the worker is dead: `_listen` hears so too
        out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
