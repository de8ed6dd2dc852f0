"""docs/problems.md lists every type of problem that the service can answer."""

from __future__ import annotations

import re
from pathlib import Path

from server.problems import TITLES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "problems.md"


def test_every_type_is_documented() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(told) == sorted(TITLES)
