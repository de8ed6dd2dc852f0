"""Many values over the Java border in one call.

A call from Python into Java costs microseconds, so reading 1000 hits attribute by attribute costs more than the search
that found them. The functions here are small loops that the JVM itself puts together from method handles
(`java.lang.invoke.MethodHandles`, the JDK's own combinators): they run inside Java and give back one array or string.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from index.java import cast, java_class, text
from index.java_frames import applying

_PRIMITIVES = {
    "int": "java.lang.Integer",
    "long": "java.lang.Long",
    "float": "java.lang.Float",
    "boolean": "java.lang.Boolean",
    "char": "java.lang.Character",
    "void": "java.lang.Void",
}
_STRING = "java.lang.String"
_BUILDER = "java.lang.StringBuilder"
_OBJECT = "java.lang.Object"
_TOKENS = "org.apache.lucene.analysis.TokenStream"


def hits(top_docs: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Lucene's document numbers and scores of a TopDocs, in its order: two arrays of shape (n,)."""
    numbers, scores = _hit_columns()
    return np.array(numbers(top_docs), dtype=np.int64), np.array(scores(top_docs), dtype=np.float64)


def long_values(values: Any, count: int) -> npt.NDArray[np.int64]:
    """The NumericDocValues of documents 0 to count - 1, which must all have one."""
    return np.array(_doc_values_column()(values, count), dtype=np.int64)


def string_values(values: Any, count: int) -> list[str]:
    """The BinaryDocValues of documents 0 to count - 1 as text; no value may hold a line feed."""
    joined: str = _string_column()(values, count)
    return joined.split("\n")[:-1]


def live_bits(bits: Any, count: int) -> npt.NDArray[np.bool_]:
    """Lucene `Bits` as a boolean array of shape (count,)."""
    return np.array(_bits_column()(bits, count), dtype=np.bool_)


def tokens(stream: Any, wanted: Iterable[str] | None = None) -> list[tuple[str, int, int]]:
    """(term, start, end) for each token of a TokenStream, or only for those of the `wanted` terms; offsets count UTF-16
    units. The stream is consumed."""
    stream.reset()
    joined: str = _token_loop()(stream)
    stream.end()
    lines = joined.split("\n")[:-1] if wanted is None else _lines_of(joined, set(wanted))
    rows = (line.rsplit("\t", 2) for line in lines)
    return [(term, int(start), int(end)) for term, start, end in rows]


def _lines_of(joined: str, terms: set[str]) -> list[str]:
    """The lines of these terms. A text has hundreds of tokens, and a query's few are found without reading them all."""
    joined = f"\n{joined}"
    found: list[tuple[int, str]] = []
    for term in terms:
        head = f"\n{term}\t"
        at = joined.find(head)
        while at >= 0:
            end = joined.index("\n", at + 1)
            if joined.count("\t", at + len(head), end) == 1:  # else it is a longer term with a tab in it
                found.append((at, joined[at + 1 : end]))
            at = joined.find(head, end)
    return [line for _, line in sorted(found)]


def term_frequencies(terms: Any) -> list[tuple[str, int]]:
    """(term, frequency) for each term of a document's term vector, in Lucene's order."""
    source = terms.iterator()
    joined: str = _term_loop()(source)
    rows = (line.rsplit("\t", 1) for line in joined.split("\n")[:-1])
    return [(term, int(frequency)) for term, frequency in rows]


def float_map(values: Mapping[str, float]) -> Any:
    """A java.util.Map of Strings to Floats."""
    if not values:  # an empty list goes over as an array of objects, whatever it lacks
        return java_class("java.util.HashMap")()
    keys, numbers = [text(key) for key in values], [float(number) for number in values.values()]
    return cast("java.util.Map", _map_loop()(keys, numbers))


@cache
def _type(name: str) -> Any:
    if name in _PRIMITIVES:
        return java_class(_PRIMITIVES[name]).TYPE
    return java_class("java.lang.Class").forName(name)


def _handles() -> Any:
    return java_class("java.lang.invoke.MethodHandles")


def _signature(result: str, *parameters: str) -> Any:
    types = java_class("java.lang.invoke.MethodType")
    first, others = _type(result), [_type(name) for name in parameters]
    return types.methodType(first, others) if others else types.methodType(first)


def _method(owner: str, name: str, result: str, *parameters: str) -> Any:
    """(owner, *parameters) -> result"""
    kind, signature = _type(owner), _signature(result, *parameters)
    return _handles().publicLookup().findVirtual(kind, name, signature)


def _getter(owner: str, name: str, result: str) -> Any:
    """(owner) -> result"""
    kind, value = _type(owner), _type(result)
    return _handles().publicLookup().findGetter(kind, name, value)


def _function(handle: Any, arity: int) -> Callable[..., Any]:
    """A handle as a function of Python, by way of a java.util.function.Function or BiFunction, which pyjnius calls."""
    name = "java.util.function.Function" if arity == 1 else "java.util.function.BiFunction"
    proxies = java_class("java.lang.invoke.MethodHandleProxies")
    return applying(cast(name, proxies.asInterfaceInstance(_type(name), handle)))


def _fill(array: str, source: str, item: Any, count: Any) -> Any:
    """A loop (source, …) -> array with `array[i] = item(source, i)` for i below `count(source, …)`.

    `item` has the signature (source, int) -> element, `count` (source, …) -> int.
    """
    handles = _handles()
    store = handles.collectArguments(handles.arrayElementSetter(_type(array)), 2, item)
    store = handles.permuteArguments(store, _signature("void", array, "int", source), 0, 1, 2, 1)
    keep = handles.dropArguments(handles.identity(_type(array)), 1, _type("int"), _type(source))
    create = handles.filterReturnValue(count, handles.arrayConstructor(_type(array)))
    body = handles.foldArguments(keep, store)
    if count.type().parameterCount() == 2:  # the loop's own count is passed to the body as well
        body = handles.dropArguments(body, 3, _type("int"))
    return handles.countedLoop(count, create, body)


def _second_int(source: str) -> Any:
    """(source, int) -> int: the count that the caller passes."""
    handles = _handles()
    return handles.dropArguments(handles.identity(_type("int")), 0, _type(source))


def _then(first: Any, second: Any, accumulator: str, source: str) -> Any:
    """(accumulator, source) -> accumulator: `second(first(accumulator, source), source)`."""
    handles = _handles()
    both = handles.collectArguments(second, 0, first)
    return handles.permuteArguments(both, _signature(accumulator, accumulator, source), 0, 1, 1)


def _append(kind: str, value: Any) -> Any:
    """(StringBuilder, source) -> StringBuilder, appending `value(source)` of the type `kind`."""
    return _handles().filterArguments(_method(_BUILDER, "append", _BUILDER, kind), 1, value)


def _append_char(char: str, source: str) -> Any:
    """(StringBuilder, source) -> StringBuilder, appending one constant character."""
    handles = _handles()
    code = java_class("java.lang.Character")(char)
    append = handles.insertArguments(_method(_BUILDER, "append", _BUILDER, "char"), 1, code)
    return handles.dropArguments(append, 1, _type(source))


def _new_builder() -> Any:
    kind, signature = _type(_BUILDER), _signature("void")
    return _handles().publicLookup().findConstructor(kind, signature)


@lru_cache(maxsize=1)
def _hit_columns() -> tuple[Any, Any]:
    handles = _handles()
    hit, top = "org.apache.lucene.search.ScoreDoc", "org.apache.lucene.search.TopDocs"
    array = f"[L{hit};"
    columns = []
    for name, kind, target in (("doc", "int", "[I"), ("score", "float", "[F")):
        item = handles.filterReturnValue(handles.arrayElementGetter(_type(array)), _getter(hit, name, kind))
        loop = _fill(target, array, item, handles.arrayLength(_type(array)))
        columns.append(_function(handles.filterArguments(loop, 0, _getter(top, "scoreDocs", array)), 1))
    return columns[0], columns[1]


@lru_cache(maxsize=1)
def _doc_values_column() -> Any:
    source = "org.apache.lucene.index.NumericDocValues"
    item = _after_advance(source, _method(source, "longValue", "long"))
    return _function(_fill("[J", source, item, _second_int(source)), 2)


@lru_cache(maxsize=1)
def _bits_column() -> Any:
    source = "org.apache.lucene.util.Bits"
    return _function(_fill("[Z", source, _method(source, "get", "boolean", "int"), _second_int(source)), 2)


def _after_advance(source: str, value: Any) -> Any:
    """(source, int) -> value(source), after `source.advanceExact(int)`."""
    handles = _handles()
    advance = _method(source, "advanceExact", "boolean", "int")
    ignore = handles.empty(_signature("void", "boolean"))
    moved = handles.filterReturnValue(advance, ignore)
    return handles.foldArguments(handles.dropArguments(value, 1, _type("int")), moved)


@lru_cache(maxsize=1)
def _string_column() -> Any:
    handles = _handles()
    source, ref = "org.apache.lucene.index.BinaryDocValues", "org.apache.lucene.util.BytesRef"
    as_text = handles.filterReturnValue(_method(source, "binaryValue", ref), _method(ref, "utf8ToString", _STRING))
    append = handles.collectArguments(
        _method(_BUILDER, "append", _BUILDER, _STRING), 1, _after_advance(source, as_text)
    )  # (builder, source, int) -> builder
    line_feed = handles.dropArguments(_append_char("\n", source), 2, _type("int"))
    both = handles.collectArguments(line_feed, 0, append)
    body = handles.permuteArguments(both, _signature(_BUILDER, _BUILDER, "int", source, "int"), 0, 2, 1, 2, 1)
    create = handles.dropArguments(_new_builder(), 0, _type(source), _type("int"))
    loop = handles.countedLoop(_second_int(source), create, body)
    return _function(handles.filterReturnValue(loop, _method(_BUILDER, "toString", _STRING)), 2)


@lru_cache(maxsize=1)
def _token_loop() -> Any:
    handles = _handles()
    body = _append(_STRING, _attribute("CharTermAttribute", "toString", _STRING, owner=_OBJECT))
    for edge in ("startOffset", "endOffset"):
        body = _then(body, _append_char("\t", _TOKENS), _BUILDER, _TOKENS)
        body = _then(body, _append("int", _attribute("OffsetAttribute", edge, "int")), _BUILDER, _TOKENS)
    body = _then(body, _append_char("\n", _TOKENS), _BUILDER, _TOKENS)
    more = handles.dropArguments(_method(_TOKENS, "incrementToken", "boolean"), 0, _type(_BUILDER))
    return _text_loop(_TOKENS, more, body)


@lru_cache(maxsize=1)
def _term_loop() -> Any:
    handles = _handles()
    source, ref = "org.apache.lucene.index.TermsEnum", "org.apache.lucene.util.BytesRef"
    as_text = handles.filterReturnValue(_method(source, "term", ref), _method(ref, "utf8ToString", _STRING))
    body = _then(_append(_STRING, as_text), _append_char("\t", source), _BUILDER, source)
    body = _then(body, _append("long", _method(source, "totalTermFreq", "long")), _BUILDER, source)
    body = _then(body, _append_char("\n", source), _BUILDER, source)
    # next() gives null at the end: Objects.nonNull turns it into the loop's condition.
    kind, general, special = _type("java.util.Objects"), _signature("boolean", _OBJECT), _signature("boolean", ref)
    exists = handles.publicLookup().findStatic(kind, "nonNull", general)
    more = handles.filterReturnValue(_method(source, "next", ref), exists.asType(special))
    return _text_loop(source, handles.dropArguments(more, 0, _type(_BUILDER)), body)


@lru_cache(maxsize=1)
def _map_loop() -> Any:
    """A BiFunction (Object[] keys, float[] numbers) -> HashMap: `map.put(keys[i], numbers[i])` for every i."""
    handles = _handles()
    objects, floats, hashes = "[Ljava.lang.Object;", "[F", "java.util.HashMap"
    key, boxed = handles.arrayElementGetter(_type(objects)), _signature(_OBJECT, floats, "int")
    value = handles.arrayElementGetter(_type(floats)).asType(boxed)
    put = handles.collectArguments(_method(hashes, "put", _OBJECT, _OBJECT, _OBJECT), 2, value)
    put = handles.dropReturn(handles.collectArguments(put, 1, key))  # (map, keys, int, numbers, int)
    others = [_type(name) for name in (objects, "int", floats, "int")]
    body = handles.foldArguments(handles.dropArguments(handles.identity(_type(hashes)), 1, *others), put)
    body = handles.permuteArguments(body, _signature(hashes, hashes, "int", objects, floats), 0, 2, 1, 3, 1)
    kind, signature = _type(hashes), _signature("void")
    arrays = [_type(objects), _type(floats)]
    create = handles.dropArguments(handles.publicLookup().findConstructor(kind, signature), 0, *arrays)
    count = handles.dropArguments(handles.arrayLength(_type(objects)), 1, _type(floats))
    return _function(handles.countedLoop(count, create, body), 2)


def _text_loop(source: str, more: Any, body: Any) -> Any:
    """A Function (source) -> String: while `more(builder, source)`, `builder = body(builder, source)`."""
    handles = _handles()
    loop = handles.whileLoop(handles.dropArguments(_new_builder(), 0, _type(source)), more, body)
    return _function(handles.filterReturnValue(loop, _method(_BUILDER, "toString", _STRING)), 1)


def _attribute(name: str, getter: str, result: str, owner: str | None = None) -> Any:
    """(TokenStream) -> a value of one of its attributes."""
    handles = _handles()
    interface = f"org.apache.lucene.analysis.tokenattributes.{name}"
    find = _method(
        "org.apache.lucene.util.AttributeSource", "getAttribute", "org.apache.lucene.util.Attribute", "java.lang.Class"
    )
    found = handles.insertArguments(find, 1, _type(interface))
    value = _method(owner or interface, getter, result)
    wanted = _signature(owner or interface, _TOKENS)
    attribute = found.asType(wanted)
    return handles.filterReturnValue(attribute, value)
