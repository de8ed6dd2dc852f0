"""The schema of a store: which version it has, and the way to this one by Alembic's migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from index.errors import ConflictError

_VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"
REVISIONS: Final = tuple(sorted(path.stem[1:5] for path in _VERSIONS.glob("v[0-9]*.py")))
"""The revisions that this Clickwise knows, oldest first. The last one is what it works with."""

NEWEST: Final = REVISIONS[-1]


def revision(connection: Connection) -> str | None:
    """The revision of the store, None where it has no tables of ours by Alembic (yet)."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def is_new(connection: Connection) -> bool:
    """Whether nobody has made any table here."""
    return not inspect(connection).get_table_names()


def check(found: str | None, where: str) -> None:
    """Raises ConflictError for a revision of a newer Clickwise."""
    if found is not None and found not in REVISIONS:
        raise ConflictError(
            f"The store {where} has the schema revision {found}; this Clickwise knows revisions up to {NEWEST}.",
            "Upgrade Clickwise, or name another store in store_url.",
        )


def upgrade(connection: Connection) -> None:
    """Bring the store to the newest revision, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_VERSIONS.parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
