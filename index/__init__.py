"""Documents in, candidates out: the ground floor of Clickwise."""

from index.errors import ClickwiseError
from index.types import Document, Query, Ranking

__all__ = ["ClickwiseError", "Document", "Query", "Ranking"]
