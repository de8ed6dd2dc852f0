"""Collections of the package ir_datasets by their ids, such as `irds:beir/nfcorpus`.

A document's text is what its collection calls the default text, less a title at its front. Its other attributes become
fields where they are numbers or texts of up to 256 characters; a mapping chooses others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from index.errors import InputError, NotFoundError, UnavailableError
from index.readers.layout import ROLES, Layout
from index.readers.records import Fault, Record

PREFIX: Final = "irds:"
MAX_ATTRIBUTE: Final = 256


def open_dataset(name: str) -> Any:
    """The dataset of that id.

    Raises UnavailableError without the package, NotFoundError for an unknown id, InputError where it has no documents.
    """
    try:
        import ir_datasets
    except ImportError as error:
        raise UnavailableError(
            f"{PREFIX}{name} needs the package ir_datasets, which is not installed.",
            "Install it with: pip install 'clickwise[irds]'.",
        ) from error
    try:
        dataset = ir_datasets.load(name)
    except KeyError as error:
        raise NotFoundError(
            f"ir_datasets knows no dataset {name}.", "Its ids are listed at https://ir-datasets.com."
        ) from error
    if not dataset.has_docs():
        raise InputError(f"The dataset {name} has no documents.", "Name one that has.")
    return dataset


def read(dataset: Any, name: str, layout: Layout) -> Iterator[Record | Fault]:
    """One record per document. Raises UnavailableError where the package cannot fetch the collection."""
    try:
        for number, document in enumerate(dataset.docs_iter(), start=1):
            yield Record(number, document._asdict() if layout.mapped else _values(document))
    except Exception as error:  # it downloads as it goes: whatever network, disk and parsers may raise
        raise UnavailableError(
            f"ir_datasets could not read {name}: {type(error).__name__}: {error}.",
            "Check the network, or download the collection as its documentation says.",
        ) from error


def _values(document: Any) -> dict[str, object]:
    attributes: dict[str, object] = document._asdict()
    title = attributes.get("title")
    title = title if isinstance(title, str) else ""
    text: str = document.default_text()
    values: dict[str, object] = {
        "_id": attributes["doc_id"],
        "title": title,
        "text": text.removeprefix(title).lstrip() if title else text,
    }
    named = {name for names in ROLES.values() for name in names}
    for name, value in attributes.items():
        if name not in named and (isinstance(value, int | float) or _short(value)):
            values[name] = value
    return values


def _short(value: object) -> bool:
    texts = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(text, str) and len(text) <= MAX_ATTRIBUTE for text in texts)
