"""The embedded corpus: what is in it, under which names, and that making it imports no Python module."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from index.pydocs import python_documents
from index.pydocs.library import compiled, public_modules
from index.pydocs.names import Defined, resolve
from index.pydocs.signatures import parameters
from index.pydocs.sources import Source, source
from index.types import Document


@pytest.fixture(scope="module")
def corpus() -> dict[str, Document]:
    found = list(python_documents())
    by_id = {document.id: document for document in found}
    assert len(by_id) == len(found), "an id occurs twice"
    return by_id


def test_a_few_thousand_documents_in_a_stable_order(corpus: dict[str, Document]) -> None:
    assert 4_000 < len(corpus) < 7_500
    assert list(corpus) == sorted(corpus)
    kinds = Counter(document.fields["kind"] for document in corpus.values())
    assert set(kinds) == {"module", "class", "function", "method", "topic"}
    assert min(kinds["module"], kinds["topic"]) > 70


def test_every_document_is_well_formed(corpus: dict[str, Document]) -> None:
    for document in corpus.values():
        assert 0 < len(document.title) < 250, document.id
        assert "\n" not in document.title, document.id
        assert document.text.strip(), document.id
        assert "\0" not in document.text.encode().decode(), document.id  # no lone surrogates either
        if document.fields["kind"] == "topic":
            assert document.id.startswith("topic:")
            assert set(document.fields) == {"kind"}
        else:
            module = document.fields["module"]
            assert module == "builtins" or document.id == module or document.id.startswith(f"{module}.")
            assert not any(part.startswith("_") for part in document.id.split(".") if part != "__future__")


@pytest.mark.parametrize(
    ("identifier", "kind", "title"),
    [
        ("asyncio.gather", "function", "asyncio.gather("),
        ("asyncio.sleep", "function", "async asyncio.sleep(delay, result=None)"),
        ("asyncio.Queue.get_nowait", "method", "asyncio.Queue.get_nowait()"),
        ("bisect.insort", "function", "bisect.insort(a, x, lo=0, hi=None, *, key=None)"),
        ("calendar.month", "function", "calendar.month(theyear, themonth, w=0, l=0)"),
        ("collections.OrderedDict", "class", "class collections.OrderedDict(dict)"),
        ("collections.abc.Mapping", "class", "class collections.abc.Mapping(Collection)"),
        ("collections.deque.appendleft", "method", "collections.deque.appendleft("),
        ("concurrent.futures.ThreadPoolExecutor", "class", "class concurrent.futures.ThreadPoolExecutor"),
        ("csv.reader", "function", "csv.reader(…)"),
        ("datetime.datetime.strptime", "method", "datetime.datetime.strptime(date_string, format)"),
        ("decimal", "module", "module decimal — "),
        ("dict.get", "method", "dict.get(key, default=None, /)"),
        ("email.message_from_string", "function", "email.message_from_string(s, *args, **kws)"),
        ("functools.lru_cache", "function", "functools.lru_cache(maxsize=128, typed=False)"),
        ("hashlib.sha256", "function", "hashlib.sha256("),
        ("heapq.nlargest", "function", "heapq.nlargest(n, iterable, key=None)"),
        ("itertools.groupby", "class", "class itertools.groupby"),
        ("json", "module", "module json — JSON"),
        ("json.dumps", "function", "json.dumps(obj, *, skipkeys=False, "),
        ("len", "function", "len(obj, /)"),
        ("math.sqrt", "function", "math.sqrt(x, /)"),
        ("multiprocessing.Pool", "function", "multiprocessing.Pool(processes=None, "),
        ("open", "function", "open(file, mode='r', buffering=-1, "),
        ("os.listdir", "function", "os.listdir(path=None)"),
        ("os.path.join", "function", "os.path.join(a, *p)"),
        ("os.path.exists", "function", "os.path.exists(path)"),
        ("os.path.splitext", "function", "os.path.splitext(p)"),
        ("pathlib.Path.glob", "method", "pathlib.Path.glob(pattern"),
        ("pathlib.PurePath.suffix", "method", "property pathlib.PurePath.suffix"),
        ("pickle.dumps", "function", "pickle.dumps("),
        ("random.choice", "function", "random.choice(seq)"),
        ("re.Match.group", "method", "re.Match.group("),
        ("re.sub", "function", "re.sub(pattern, repl, string, "),
        ("socket.socket.recv", "method", "socket.socket.recv("),
        ("sqlite3.connect", "function", "sqlite3.connect("),
        ("str.split", "method", "str.split(sep=None, maxsplit=-1)"),
        ("threading.Lock.acquire", "method", "threading.Lock.acquire("),
        ("time.sleep", "function", "time.sleep("),
        ("topic:with", "topic", 'The "with" statement'),
        ("typing.Optional", "function", "typing.Optional"),
        ("unittest.TestCase.assertEqual", "method", "unittest.TestCase.assertEqual(first, second, msg=None)"),
        ("ValueError", "class", "class ValueError(Exception)"),
    ],
)
def test_what_a_searcher_looks_for_is_there(
    corpus: dict[str, Document], identifier: str, kind: str, title: str
) -> None:
    document = corpus[identifier]
    assert document.fields["kind"] == kind
    assert document.title.startswith(title)
    assert len(document.text) > 40


def test_things_are_documented_once_under_their_public_name(corpus: dict[str, Document]) -> None:
    for elsewhere in ("asyncio.tasks.gather", "unittest.case.TestCase", "sqlite3.dbapi2.connect", "io.open"):
        assert elsewhere not in corpus
    for module in ("posixpath", "ntpath", "genericpath", "distutils", "idlelib", "test", "antigravity", "numpy"):
        assert not any(identifier.split(".")[0] == module for identifier in corpus)


def test_texts_say_what_is_inside_and_names_in_words(corpus: dict[str, Document]) -> None:
    assert "Classes and functions: JSONDecodeError, JSONDecoder, JSONEncoder, dump, dumps" in corpus["json"].text
    ordered = corpus["collections.OrderedDict"].text
    assert "move_to_end" in ordered
    assert ordered.endswith("The class OrderedDict (ordered dict) of the module collections.")
    assert corpus["dict.get"].text.endswith("The method get of the built-in class dict.")
    assert "Modules: " in corpus["xml.etree"].text
    assert "ThreadPoolExecutor(max_workers=None" in corpus["concurrent.futures.ThreadPoolExecutor"].text
    assert "extension" in corpus["os.path.splitext"].text  # from the comment above it


def test_another_process_makes_the_same_and_imports_nothing_written_in_python(corpus: dict[str, Document]) -> None:
    program = """
import gc, json, sys
from index.pydocs import python_documents
before = set(sys.modules)
titles = [[document.id, document.title, document.text[-80:]] for document in python_documents()]
new = sorted(set(sys.modules) - before)
files = {name: getattr(sys.modules[name], "__file__", None) for name in new}
print(json.dumps([titles, files, gc.isenabled()]))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    titles, files, collecting = json.loads(done.stdout)
    assert titles == [[document.id, document.title, document.text[-80:]] for document in corpus.values()]
    assert [name for name, file in files.items() if file and file.endswith((".py", ".pyc"))] == []
    assert collecting
    assert done.stderr == ""


def test_the_caches_are_empty_afterwards(corpus: dict[str, Document]) -> None:
    assert corpus
    assert source.cache_info().currsize == 0
    assert resolve.cache_info().currsize == 0


def test_only_the_standard_library_is_found() -> None:
    assert compiled("numpy") is None
    assert compiled("json") is None
    assert compiled("readline") is None  # importing it touches the terminal
    assert source("numpy") is None
    assert source("no.such.module") is None
    modules = dict(public_modules())
    assert modules["os.path"] == "posixpath"
    assert "asyncio.windows_events" not in modules


@pytest.mark.parametrize(
    ("definition", "owner", "expected"),
    [
        ("def f(): pass", "", "()"),
        (
            "def f(a: int, b: str = 'x', /, *args, c, d=1, **more) -> None: pass",
            "",
            "(a, b='x', /, *args, c, d=1, **more)",
        ),
        ("def f(self=None): pass", "C", "()"),
        ("def f(self, a, b=1): pass", "C", "(a, b=1)"),
        ("def f(self, /, a): pass", "C", "(a)"),
        ("def f(*args): pass", "C", "(*args)"),
        ("@staticmethod\ndef f(a): pass", "C", "(a)"),
        ("@classmethod\ndef f(cls, a): pass", "C", "(a)"),
        ("class C:\n def __init__(self, a=(1,\n 2)): pass", "", "(a=(1, 2))"),
        ("class C:\n x = 1", "", ""),
    ],
)
def test_signatures(definition: str, owner: str, expected: str) -> None:
    node = ast.parse(definition).body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    assert parameters(Defined(Source("m", False, ""), node, owner)) == expected


def test_a_long_signature_is_cut() -> None:
    node = ast.parse(f"def f({', '.join(f'argument_{i}' for i in range(40))}): pass").body[0]
    assert isinstance(node, ast.FunctionDef)
    written = parameters(Defined(Source("m", False, ""), node))
    assert len(written) == 160
    assert written.endswith("…)")
