"""The indexes and pipelines that a service offers, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy

from index.errors import InputError, NotFoundError
from index.index import Index
from ranking.config import build_pipeline, preferred, specs_with, working
from ranking.pipeline import Pipeline, PipelineSpec
from server.schemas_catalog import IndexInfo, PipelineInfo
from server.settings import Settings


class Catalog:
    """Opened indexes and the pipelines on them. Thread-safe."""

    def __init__(
        self,
        indexes: Mapping[str, Index],
        specs: Mapping[str, PipelineSpec],
        default_index: str | None = None,
        default_pipeline: str | None = None,
    ) -> None:
        """Raises NotFoundError where there is no index, or a default is not among the others."""
        if not indexes:
            raise NotFoundError("There is no index to search.", "Build one with 'clickwise index build --python-docs'.")
        _among(indexes, default_index or next(iter(indexes)), "index")
        _among(specs, default_pipeline or next(iter(specs)), "pipeline")
        self.indexes, self.specs = dict(indexes), dict(specs)
        # One index needs no default; of several none is more obvious than the others.
        self.default_index = default_index or (next(iter(indexes)) if len(indexes) == 1 else None)
        self.default_pipeline = default_pipeline

    @classmethod
    def open(cls, settings: Settings) -> Catalog:
        """Open every index of the settings. Errors: those of Index.open, and of the pipelines' configuration."""
        specs = specs_with(settings.pipelines, str(settings.config))
        paths = settings.index_paths()
        engine, patience = settings.shard_engine, settings.shard_timeout_ms / 1000
        indexes = {name: Index.open(path, engine=engine, patience=patience) for name, path in paths.items()}
        return cls(indexes, specs, settings.default_index, settings.default_pipeline)

    def having(
        self, indexes: Mapping[str, Index] | None = None, specs: Mapping[str, PipelineSpec] | None = None
    ) -> Catalog:
        """This catalog with some indexes or pipelines exchanged for others of the same names."""
        other = copy(self)
        other.indexes = {**self.indexes, **(indexes or {})}
        other.specs = {**self.specs, **(specs or {})}
        return other

    def index(self, name: str | None) -> tuple[str, Index]:
        """An index with its name; the default one for None.

        Raises NotFoundError for an unknown name, InputError for None where there is no default.
        """
        wanted = name or self.default_index
        if wanted is None:
            error = InputError(
                "No index is named, and there are several.",
                f"Name one in `index`, or start with serve --index: {', '.join(self.indexes)}.",
            )
            error.field = "index"
            raise error
        _among(self.indexes, wanted, "index")
        return wanted, self.indexes[wanted]

    def pipeline(self, name: str | None, index: Index) -> Pipeline:
        """A pipeline on an index; the default one for None.

        Raises NotFoundError for an unknown name, InputError for one that needs embeddings that the index lacks.
        """
        wanted = name or self.default_pipeline or preferred(self.specs, index)
        _among(self.specs, wanted, "pipeline")
        return build_pipeline(wanted, self.specs, index)

    def index_infos(self) -> list[IndexInfo]:
        """Every index, as it is now."""
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
        )

    def pipeline_infos(self) -> list[PipelineInfo]:
        """Every pipeline, and where it works."""
        works = {name: set(working(self.specs, index)) for name, index in self.indexes.items()}
        defaults = {name: self.default_pipeline or preferred(self.specs, index) for name, index in self.indexes.items()}
        return [
            PipelineInfo(
                name=name,
                description=spec.description,
                stages=[stage.name for stage in spec.stages],
                default_for=[index for index, default in defaults.items() if default == name],
                indexes={
                    index: Pipeline(spec, opened).version
                    for index, opened in self.indexes.items()
                    if name in works[index]
                },
            )
            for name, spec in self.specs.items()
        ]

    def close(self) -> None:
        for index in self.indexes.values():
            index.close()


def _among(valid: Iterable[str], name: str, what: str) -> None:
    names = list(valid)
    if name not in names:
        error = NotFoundError(f"There is no {what} {name!r}.", f"Valid: {', '.join(names)}.")
        error.field = what
        raise error
