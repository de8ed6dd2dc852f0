"""Documents in: streaming readers for the formats that collections come in.

To add a format, write `index/readers/<format>.py` with a function that yields its records, and name it in
`index/readers/registry.py`. What makes a record a document, or a bad one, is the same for all and stands in
`index/readers/layout.py`.
"""

from index.readers.reading import ReadReport, read_documents
from index.readers.registry import FORMATS

__all__ = ["FORMATS", "ReadReport", "read_documents"]
