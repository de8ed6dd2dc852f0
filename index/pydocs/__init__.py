"""The embedded default corpus: the documentation of the Python installation that Clickwise runs on.

One document each for the language topics and the public modules, classes, functions, methods and properties of the
standard library. Pure Python modules are read with `ast` and never imported; of modules written in C, which import
without side effects, the objects are asked. The id is the name under which one uses a thing (`asyncio.gather`,
`os.path.join`, `dict.get`, `topic:with`), whatever private module defines it.

`library.py` finds the modules and `sources.py` parses them, `names.py` finds what a name stands for, `entries.py`
decides what is public and under which name, `pages.py` writes the documents.
"""

from index.pydocs.pages import python_documents

__all__ = ["python_documents"]
