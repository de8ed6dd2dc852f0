"""The indexes and pipelines that a service offers, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from functools import partial

from index.errors import InputError, NotFoundError
from index.index import Index
from index.places import none_in
from ranking.config import build_pipeline, preferred, specs_with, working
from ranking.pipeline import Pipeline, PipelineSpec
from server.schemas_catalog import IndexInfo, PipelineInfo
from server.settings import Settings
from server.shelf import Shelf


class Catalog:
    """Opened indexes and the pipelines on them. Thread-safe."""

    def __init__(
        self,
        indexes: Mapping[str, Index] | Shelf,
        specs: Mapping[str, PipelineSpec],
        default_index: str | None = None,
        default_pipeline: str | None = None,
    ) -> None:
        """There is an index at least. Raises NotFoundError where a default is not among the others."""
        self._shelf = indexes if isinstance(indexes, Shelf) else Shelf(indexes)
        opened = self._shelf.opened
        _among(opened, default_index or next(iter(opened)), "index")
        _among(specs, default_pipeline or next(iter(specs)), "pipeline")
        self.specs = dict(specs)
        self._instead: Mapping[str, Index] = {}
        # One index needs no default; of several none is more obvious than the others. What others are built later
        # changes nothing for those who name none.
        self.default_index = default_index or (next(iter(opened)) if len(opened) == 1 else None)
        self._shelf.needed |= {self.default_index} if self.default_index else set()
        self.default_pipeline = default_pipeline

    @property
    def indexes(self) -> Mapping[str, Index]:
        """Those that are open, by name."""
        return {**self._shelf.opened, **self._instead}

    @classmethod
    def open(cls, settings: Settings) -> Catalog:
        """Open every index of the settings; what is built later is found. Errors: NotFoundError where there is none,
        those of Index.open, and of the pipelines' configuration."""
        specs = specs_with(settings.pipelines, str(settings.config))
        opening = partial(Index.open, engine=settings.shard_engine, patience=settings.shard_timeout_ms / 1000)
        opened = {name: opening(path) for name, path in settings.index_paths().items()}
        if not opened:
            raise none_in(settings.home)
        shelf = Shelf(opened, settings.found_index, settings.index_paths, opening)
        shelf.needed = frozenset(settings.indexes)
        return cls(shelf, specs, settings.default_index, settings.default_pipeline)

    def having(
        self, indexes: Mapping[str, Index] | None = None, specs: Mapping[str, PipelineSpec] | None = None
    ) -> Catalog:
        """This catalog with some indexes or pipelines exchanged for others of the same names."""
        other = copy(self)
        other._instead = {**self._instead, **(indexes or {})}
        other.specs = {**self.specs, **(specs or {})}
        return other

    def has(self, name: str | None) -> bool:
        """Whether an index is called so. Raises as `Shelf.get` does."""
        return name is not None and (name in self._instead or self._shelf.get(name) is not None)

    def index(self, name: str | None) -> tuple[str, Index]:
        """An index with its name; the default one for None.

        Raises NotFoundError for an unknown name, InputError for None where there is no default, and what `Shelf.get`
        raises for one that was built just now.
        """
        wanted = name or self.default_index
        if wanted is None:
            error = InputError(
                "No index is named, and there are several.",
                f"Name one in `index`, or start with serve --index: {', '.join(self.indexes)}.",
            )
            error.field = "index"
            raise error
        found = self._instead.get(wanted) or self._shelf.get(wanted)
        if found is None:
            _among(self.indexes, wanted, "index")
        return wanted, found or self.indexes[wanted]

    def pipeline(self, name: str | None, index: Index) -> Pipeline:
        """A pipeline on an index; the default one for None.

        Raises NotFoundError for an unknown name, InputError for one that needs embeddings that the index lacks.
        """
        wanted = name or self.default_pipeline or preferred(self.specs, index)
        _among(self.specs, wanted, "pipeline")
        return build_pipeline(wanted, self.specs, index)

    def let_go(self) -> None:
        """Serve no more what has been removed from the disk: see `Shelf.let_go`."""
        self._shelf.let_go()

    def index_infos(self) -> list[IndexInfo]:
        """Every index that there is now."""
        self._shelf.let_go()
        self._shelf.look()
        return [self._info(name, index) for name, index in self.indexes.items()]

    def _info(self, name: str, index: Index) -> IndexInfo:
        view, manifest = index.view(), index.manifest
        return IndexInfo(
            name=name,
            default=name == self.default_index,
            documents=view.documents,
            generation=view.generation,
            created=manifest.created,
            analyzer=manifest.analyzer,
            layout=manifest.layout,
            fields=dict(view.fields),
            vectors=view.vectors is not None,
            encoder=manifest.encoder.name if manifest.encoder else None,
            learned=list(view.vectors.learned.about) if view.vectors else [],
            problem=f"The directory {index.path} is gone." if view.gone else None,
        )

    def pipeline_infos(self) -> list[PipelineInfo]:
        """Every pipeline, and where it works."""
        self._shelf.look()
        indexes = self.indexes
        works = {name: set(working(self.specs, index)) for name, index in indexes.items()}
        defaults = {name: self.default_pipeline or preferred(self.specs, index) for name, index in indexes.items()}
        return [
            PipelineInfo(
                name=name,
                description=spec.description,
                stages=[stage.name for stage in spec.stages],
                default_for=[index for index, default in defaults.items() if default == name],
                indexes={
                    index: Pipeline(spec, opened).version for index, opened in indexes.items() if name in works[index]
                },
            )
            for name, spec in self.specs.items()
        ]

    def close(self) -> None:
        self._shelf.close()


def _among(valid: Iterable[str], name: str, what: str) -> None:
    names = list(valid)
    if name not in names:
        error = NotFoundError(f"There is no {what} {name!r}.", f"Valid: {', '.join(names)}.")
        error.field = what
        raise error
