"""What is read of an index in one go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from index.fields import FieldType
from index.lexical import LexicalView
from index.vector_view import VectorView

if TYPE_CHECKING:
    from index.sharded.asking import Asking
    from index.sharded.reading import ShardedLexical, ShardedVectors

    Lexical: TypeAlias = LexicalView | ShardedLexical
    Vectors: TypeAlias = VectorView | ShardedVectors


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One commit of an index, whole or in shards: all stages of a request read the same one. Thread-safe.

    Of an index in shards every view has an `asking` of its own, which knows how long shards are waited for and which
    have not answered.
    """

    generation: str
    commit: int
    lexical: Lexical
    vectors: Vectors | None
    fields: dict[str, FieldType]
    asking: Asking | None = None
    gone: bool = False  # its files are: only what is open can still be read

    @property
    def documents(self) -> int:
        """How many documents live."""
        return self.lexical.documents_count

    def anew(self) -> View:
        """The same commit, with all shards to be asked again that did not answer."""
        if self.asking is None:
            return self
        asking = self.asking.anew()
        assert not isinstance(self.lexical, LexicalView)
        assert not isinstance(self.vectors, VectorView)
        vectors = self.vectors.anew(asking) if self.vectors else None
        return replace(self, lexical=self.lexical.anew(asking), vectors=vectors, asking=asking)

    @property
    def degraded(self) -> str | None:
        """Why what was read through this view is less than all there is, None where it is not."""
        if self.gone:
            return "index gone"
        return "shards missing" if self.asking and self.asking.missing else None

    @property
    def warnings(self) -> list[str]:
        """What is missing of an index in shards, in words."""
        told = self.asking.told() if self.asking else None
        return [told] if told else []
