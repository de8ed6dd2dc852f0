"""What `import index` and `import ranking` give, and what they must not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import index
import ranking

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "sentence_transformers", "faiss", "jnius", "pyserini", "pyarrow", "pandas"} | {
    "pydantic", "sqlalchemy", "fastapi", "starlette", "uvicorn", "rich",
}  # fmt: skip


def names(module: object) -> set[str]:
    """Public names of a module that are not its sub-modules."""
    modules = type(sys)
    return {name for name, value in vars(module).items() if name[0] != "_" and not isinstance(value, modules)}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after the statement."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_public_names_of_index_are_exact() -> None:
    assert names(index) == set(index.__all__)
    assert set(index.__all__) == {"ClickwiseError", "Document", "Query", "Ranking"}


def test_the_public_names_of_ranking_are_exact() -> None:
    assert names(ranking) == set(ranking.__all__)
    assert set(ranking.__all__) == {"NO_FEEDBACK", "Feedback", "Ranker", "Request"}


def test_importing_the_lower_floors_loads_nothing_heavy() -> None:
    assert loaded_by("import index, ranking") & HEAVY == set()


def test_the_command_line_loads_no_room_before_it_is_asked_for_one() -> None:
    loaded = loaded_by("import server.cli")
    assert loaded & (HEAVY - {"rich"}) == set()
    assert "numpy" not in loaded


def test_every_folder_with_code_is_a_package() -> None:
    """setuptools packs only folders with an __init__.py: one forgotten would be missing from the wheel."""
    for room in ("index", "ranking", "server", "eval"):
        for folder in {path.parent for path in (ROOT / room).rglob("*.py")}:
            assert (folder / "__init__.py").exists(), f"{folder} has code and no __init__.py"


def test_the_rooms_say_that_they_are_typed() -> None:
    for room in ("index", "ranking", "server", "eval"):
        assert (ROOT / room / "py.typed").exists()
