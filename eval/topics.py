"""Topics: what people wanted to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

QueryField: TypeAlias = Literal["title", "description", "narrative", "title+description"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One information need: `title` is the short query, `description` one sentence, `narrative` what is relevant.

    `document` names the document whose title is the query, in tasks that ask for the background of an article; it is
    empty elsewhere.
    """

    id: str
    title: str = ""
    description: str = ""
    narrative: str = ""
    document: str = ""

    def query(self, field: QueryField) -> str:
        """The text to search with: one part of the topic, or two."""
        parts = {"title": self.title, "description": self.description, "narrative": self.narrative}
        return " ".join(filter(None, (parts[name] for name in field.split("+"))))
