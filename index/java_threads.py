"""Method calls on Java objects that are safe when several threads make them.

pyjnius keeps one method object per Java class and stores in it, whenever `thing.method` is looked up, which object the
next call is for. Two threads that call the same method of two objects can therefore call it on each other's object, or
on one that has been freed meanwhile: wrong documents, or the end of the process. (Its issues 287 and 563.)

Here the method object in a class is only a plan. Each thread makes its own method from it at the first call, and the
object is bound in the moment of the call and held until it returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

_loading = threading.RLock()


def make_thread_safe() -> None:
    """Change how pyjnius wraps the Java classes that are loaded from now on. The JVM must be running."""
    import jnius
    from jnius import reflect

    if issubclass(reflect.JavaMethod, _Planned):
        return
    reflect.JavaMethod = _planned(reflect.JavaMethod)
    reflect.JavaMultipleMethod = _planned(reflect.JavaMultipleMethod)
    # Loading a class asks Java about it through classes that pyjnius wraps by hand, not through plans.
    reflect.autoclass = jnius.autoclass = _one_at_a_time(reflect.autoclass)


class _Planned:
    """Marks the classes that `_planned` makes."""


def _planned(kind: Any) -> Any:
    """A subclass of JavaMethod or JavaMultipleMethod whose instances belong to no thread."""

    class Plan(kind, _Planned):  # type: ignore[misc]
        def __init__(self, definition: Any, **options: Any) -> None:
            super().__init__(definition, **options)
            self._make = partial(kind, definition, **options)
            self._own = threading.local()
            self._name = ""

        def __set_name__(self, owner: type, name: str) -> None:
            self._name = name

        def __get__(self, thing: Any, owner: type | None = None) -> Any:
            if thing is None:  # a static method of the class: bound to nothing, so nothing can be confused
                return super().__get__(None, owner)
            return partial(self._call, thing)

        def _call(self, thing: Any, *args: Any, **options: Any) -> Any:
            try:
                method = self._own.method
            except AttributeError:
                method = self._own.method = _resolved(self._make(), self._name, thing)
            return method.__get__(thing, None)(*args, **options)

    return Plan


def _resolved(method: Any, name: str, thing: Any) -> Any:
    """Have pyjnius find the Java method, which it does when a thing is made whose class holds one of this name."""
    import jnius

    kind = type(thing)
    which = {key: value for key, value in vars(kind).items() if key.endswith(("__javaclass__", "__cls_storage"))}
    # Not MetaJavaClass.__new__, which would register the shadow in place of the class.
    shadow = type.__new__(type(kind), kind.__name__, kind.__bases__, {**which, name: method})
    jnius.cast(shadow, thing)
    return method


def _one_at_a_time(load: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(load)
    def loading(*args: Any, **options: Any) -> Any:
        with _loading:
            return load(*args, **options)

    return loading
