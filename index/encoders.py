"""The models that made the vectors of an index."""

from __future__ import annotations

from index.encoder import Encoder
from index.errors import ConflictError
from index.manifest import EncoderInfo, Manifest
from index.once import Once


class Encoders:
    """Loaded when they are asked for, and once; or the one that was given, for all generations. Thread-safe."""

    def __init__(self, given: Encoder | None = None) -> None:
        self._given = given
        self._loaded: Once[str, Encoder] = Once()  # by checksum: a generation may have been made with another model

    def check(self, manifest: Manifest) -> None:
        """Raise ConflictError where the model that was given is not the one of this generation."""
        if self._given is not None and manifest.encoder is not None:
            _check(manifest.encoder, self._given)

    def of(self, wanted: EncoderInfo) -> Encoder:
        """The model that a manifest names. Raises UnavailableError where it cannot be loaded, ConflictError where it
        has other weights than the one that made the vectors."""
        if self._given is not None:
            return self._given  # checked when the generation was opened
        found = self._loaded.get(wanted.checksum, lambda: _load(wanted))
        for old in [checksum for checksum in self._loaded.made() if checksum != wanted.checksum][:-1]:
            self._loaded.forget(old)  # that of the generation before is still asked for
        return found

    def loaded(self) -> list[Encoder]:
        """Those that were given, or asked for and loaded."""
        return [self._given] if self._given is not None else list(self._loaded.made().values())


def _load(wanted: EncoderInfo) -> Encoder:
    from index.encoder import load_encoder

    loaded = load_encoder(wanted.name, max_tokens=wanted.max_tokens)
    _check(wanted, loaded)
    return loaded


def _check(wanted: EncoderInfo, encoder: Encoder) -> None:
    if (encoder.checksum, encoder.dimension) != (wanted.checksum, wanted.dimension):
        raise ConflictError(
            f"The index was made with the model {wanted.name} ({wanted.checksum[:12]}), not with {encoder.name} "
            f"({encoder.checksum[:12]}).",
            "Use that model, or rebuild the index with the new one.",
        )
