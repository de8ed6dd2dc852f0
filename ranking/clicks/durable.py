"""Files that are replaced at once."""

from __future__ import annotations

import os
from pathlib import Path

from index.vectors import sync


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file at once: whoever is killed leaves the old one or the new one."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(content)
        sync(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)
