"""The model card of a trained delta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def card(about: Mapping[str, Any], sources: Mapping[str, int], checksum: str, size: int, notes: Sequence[str]) -> str:
    """Markdown. `about` is the delta's, `sources` counts the tasks of each source, `notes` are the user's own on the
    data and their licences."""
    inner = about.get("inner")
    lines = [
        "# A cross-encoder of Clickwise",
        "",
        "Reads a query and a text together and says in one number (a logit) how relevant the text is. It is a delta of "
        "all-MiniLM-L6-v2 (Apache-2.0): thin factors of the weights, biases, normalisations, pooler and head.",
        "",
        f'- Use: `model = "PATH/delta.safetensors"` of the ranker `cross-encoder`. Beside the logit it was trained to '
        f"have {float(about['scale']):.3g} times the cosine of the sentence encoder's vectors.",
        f"- Adaptation to feedback: {_adaptation(about, inner)}",
        f"- Size: {size:,} bytes. SHA-256 of the file: `{checksum}`.",
        f"- SHA-256 of the base weights: `{about['base']}`.",
        "",
        "## Training",
        "",
        f"Method: {about['method']}, {about['steps']:,} steps, seed {about['seed']}, {about['tokens']} tokens a pair, "
        f"computed in {about['computed_in']}.",
        "",
        "    " + (about["command"] or "command not recorded"),
        "",
        "| option | value |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in about["recipe"].items()),
        "",
        "## Data",
        "",
        *(f"- {count:,} tasks: {source}" for source, count in sorted(sources.items())),
        *(f"- `{name}`, SHA-256 `{digest}`" for name, digest in about["data"].items()),
        *(f"- {note}" for note in notes),
        *([] if notes else ["- Origin and licence of the data: not recorded."]),
        "",
    ]
    return "\n".join(lines)


def _adaptation(about: Mapping[str, Any], inner: Mapping[str, Any] | None) -> str:
    if inner is None:
        return f'the head, exactly (`adapt = "head"`), with the precision {float(about["precision"]):.3g}.'
    asked = f'adapt = "{inner["tuned"]}", layers = {inner["layers"]}, objective = "{inner["objective"]}", rate = 0'
    return f"{len(about['inner_rates'])} gradient steps with the learning rates of its own (`{asked}`)."
