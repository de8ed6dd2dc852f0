"""The one Java class that Lucene lacks for us, put together byte by byte: no Java source is compiled here.

BM25 takes the number of documents, their average length and how many hold a term from `IndexSearcher`, and only a
subclass can say other numbers than the reader's own. The class file is that of

    package clickwise;
    public final class CollectionSearcher extends IndexSearcher {
        private final Map statistics;
        public CollectionSearcher(IndexReader reader, Map statistics) { super(reader); this.statistics = statistics; }
        public TermStatistics termStatistics(Term term, int docFreq, long totalTermFreq) {
            return (TermStatistics) statistics.get(term);
        }
        public CollectionStatistics collectionStatistics(String field) {
            return (CollectionStatistics) statistics.get(field);
        }
    }

(The format: The Java Virtual Machine Specification, chapter 4. Code without branches needs no stack maps.)
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

SEARCHER: Final = "clickwise.CollectionSearcher"
_JAVA_8: Final = 52  # the oldest class format with everything that is needed: any newer JVM reads it
_PUBLIC, _PRIVATE, _FINAL, _SUPER = 0x0001, 0x0002, 0x0010, 0x0020
_ALOAD_0, _ALOAD_1, _ALOAD_2, _ARETURN, _RETURN = b"\x2a", b"\x2b", b"\x2c", b"\xb0", b"\xb1"
_SEARCH: Final = "org/apache/lucene/search"


def write(directory: Path) -> None:
    """Put the class file where a JVM with `directory` on its class path finds it."""
    path = directory / (SEARCHER.replace(".", "/") + ".class")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(collection_searcher())


def collection_searcher() -> bytes:
    """The class file of the module's docstring."""
    pool = _Pool()
    own, parent = SEARCHER.replace(".", "/"), f"{_SEARCH}/IndexSearcher"
    reader = "Lorg/apache/lucene/index/IndexReader;"
    statistics = pool.member(9, own, "statistics", "Ljava/util/Map;")
    construct = b"".join(
        (
            _ALOAD_0 + _ALOAD_1 + b"\xb7" + pool.member(10, parent, "<init>", f"({reader})V"),  # invokespecial
            _ALOAD_0 + _ALOAD_2 + b"\xb5" + statistics + _RETURN,  # putfield
        )
    )
    look_up = b"".join(
        (
            _ALOAD_0 + b"\xb4" + statistics + _ALOAD_1,  # getfield
            b"\xb9" + pool.member(11, "java/util/Map", "get", "(Ljava/lang/Object;)Ljava/lang/Object;") + b"\x02\x00",
        )
    )  # invokeinterface, with two arguments
    term, collection = f"{_SEARCH}/TermStatistics", f"{_SEARCH}/CollectionStatistics"
    methods = (
        pool.method("<init>", f"({reader}Ljava/util/Map;)V", construct, local_slots=3),
        pool.method(
            "termStatistics",
            f"(Lorg/apache/lucene/index/Term;IJ)L{term};",
            look_up + b"\xc0" + pool.type(term) + _ARETURN,  # checkcast
            local_slots=5,
        ),
        pool.method(
            "collectionStatistics",
            f"(Ljava/lang/String;)L{collection};",
            look_up + b"\xc0" + pool.type(collection) + _ARETURN,
            local_slots=2,
        ),
    )
    field = struct.pack(">H", _PRIVATE | _FINAL) + pool.text("statistics") + pool.text("Ljava/util/Map;") + b"\0\0"
    body = b"".join(
        (
            struct.pack(">H", _PUBLIC | _FINAL | _SUPER) + pool.type(own) + pool.type(parent),
            struct.pack(">HH", 0, 1) + field,  # no interfaces, one field
            struct.pack(">H", len(methods)) + b"".join(methods) + struct.pack(">H", 0),
        )
    )
    return struct.pack(">IHH", 0xCAFEBABE, 0, _JAVA_8) + pool.content() + body


class _Pool:
    """The constant pool: every name is in it once. Its methods give the two bytes by which code refers to an entry."""

    def __init__(self) -> None:
        self._entries: dict[bytes, int] = {}

    def content(self) -> bytes:
        return struct.pack(">H", len(self._entries) + 1) + b"".join(self._entries)

    def text(self, value: str) -> bytes:
        content = value.encode()
        return self._entry(b"\x01" + struct.pack(">H", len(content)) + content)

    def type(self, name: str) -> bytes:
        return self._entry(b"\x07" + self.text(name))

    def member(self, tag: int, owner: str, name: str, descriptor: str) -> bytes:
        """A field (tag 9), a method (10) or an interface's method (11)."""
        described = self._entry(b"\x0c" + self.text(name) + self.text(descriptor))
        return self._entry(bytes([tag]) + self.type(owner) + described)

    def method(self, name: str, descriptor: str, code: bytes, *, local_slots: int) -> bytes:
        content = struct.pack(">HHI", 2, local_slots, len(code)) + code + struct.pack(">HH", 0, 0)
        attribute = self.text("Code") + struct.pack(">I", len(content)) + content
        return struct.pack(">H", _PUBLIC) + self.text(name) + self.text(descriptor) + struct.pack(">H", 1) + attribute

    def _entry(self, content: bytes) -> bytes:
        return struct.pack(">H", self._entries.setdefault(content, len(self._entries) + 1))
