"""Java objects that pyjnius would hold for ever, let go.

Whatever Java hands to native code it keeps until the native method returns or the reference is deleted. A thread of
Python never returns to Java, and pyjnius forgets some references: of lists and numbers that go over as
`java.lang.Object`, and of the classes that it looks up meanwhile (its issues 171 and 172). A weighted query of 32 terms
would leave two kilobytes behind, for as long as the process lives. So such calls are made in a frame of their own
(the JNI specification's PushLocalFrame and PopLocalFrame), with which everything goes that was handed out in it. What
Python holds on to by an object of pyjnius stays: that is another kind of reference.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

_ATTACH, _PUSH, _POP = 4, 19, 20  # places in the tables of functions of a JavaVM and of a JNIEnv
_REFERENCES: Final = 64  # a frame has room for; it grows with more

# Called with the interpreter's lock held: they take less time than giving it away.
_Attach = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)
_Push = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_Pop = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class LocalFrame:
    """A context manager around calls into Java. Frames nest. The JVM must be running."""

    __slots__ = ("_thread",)

    def __enter__(self) -> None:
        self._thread = _own.thread = getattr(_own, "thread", None) or _Thread()
        if self._thread.push(_REFERENCES) < 0:
            raise MemoryError("Java has no room for a frame of references")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.pop()


def applying(function: Any) -> Callable[..., Any]:
    """A java.util.function.Function or BiFunction as a function of Python, called in a frame of its own."""

    def call(*values: Any) -> Any:
        with LocalFrame():
            return function.apply(*values)

    return call


class _Thread:
    """The functions of the JNI environment of one thread."""

    def __init__(self) -> None:
        machine, found = ctypes.c_void_p(), ctypes.c_int()
        ctypes.PyDLL(None).JNI_GetCreatedJavaVMs(ctypes.byref(machine), 1, ctypes.byref(found))
        if not found.value or machine.value is None:
            raise RuntimeError("the JVM does not run")
        environment = ctypes.c_void_p()
        _Attach(_entry(machine.value, _ATTACH))(machine, ctypes.byref(environment), None)
        assert environment.value is not None
        push, pop = _Push(_entry(environment.value, _PUSH)), _Pop(_entry(environment.value, _POP))
        self.push: Callable[[int], int] = lambda capacity: push(environment, capacity)
        self.pop: Callable[[], Any] = lambda: pop(environment, None)


def _entry(thing: int, place: int) -> int:
    """The address of a function of a JavaVM or JNIEnv: each begins with a pointer to its table."""
    table = ctypes.cast(thing, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
    address = table[place]
    assert address is not None
    return int(address)


_own = threading.local()
