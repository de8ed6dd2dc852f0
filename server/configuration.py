"""Reads the settings: from flags, then the environment, then `clickwise.toml`, then the defaults; no key is ignored.

An environment variable is the key in capitals after `CLICKWISE_`, with `__` inside tables:
`CLICKWISE_PORT=9000`, `CLICKWISE_INDEXES__NFCORPUS=/data/nfcorpus` (a name from the environment becomes lower case).
Relative paths are relative to the working directory.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsError

from index.errors import InputError, NotFoundError
from server.faults import fault_reason
from server.settings import PREFIX, Settings

DEFAULT_CONFIG: Final = Path("clickwise.toml")
OTHER_VARIABLES: Final = frozenset({"CLICKWISE_DATA", "CLICKWISE_JAVA_HEAP", "CLICKWISE_KEY"})
"""Variables with our prefix that are not settings: where measurements find their data, the heap of the JVM, and the API
key that commands show to a service."""


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process. `flags` holds what the command line gave; a None in it means not given.

    Raises InputError, which names the key and where it came from, for an unknown key or a value that does not fit,
    and NotFoundError for a configuration file that was named and is not there.
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    _known(given, "the flags")
    _known_variables(os.environ)
    path = _config_path(given)
    table = _read(path) if path else {}

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=table)

    try:
        return Layered(**{**given, "config": path})
    except ValidationError as error:
        raise _explained(error, given, path) from None
    except SettingsError as error:
        raise InputError(f"The environment is not usable: {error}.", "Write tables as JSON, or use __ keys.") from None


def _config_path(given: Mapping[str, Any]) -> Path | None:
    named = given.get("config") or os.environ.get(f"{PREFIX}CONFIG")
    if named is None:
        return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None
    if not Path(named).is_file():
        raise NotFoundError(f"There is no configuration file {named}.", "Check the path, or leave it out.")
    return Path(named)


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.", "Mend the file.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from None
    _known(table, str(path), besides={"config"})
    return table


def _known(keys: Iterable[str], where: str, besides: set[str] | None = None) -> None:
    valid = set(Settings.model_fields) - (besides or set())
    for key in keys:
        if key not in valid:
            raise InputError(f"There is no setting `{key}` (in {where}).", _nearest(key, valid))


def _known_variables(environ: Mapping[str, str]) -> None:
    valid = {f"{PREFIX}{key.upper()}" for key in Settings.model_fields if key != "pipelines"}
    tables = {f"{PREFIX}INDEXES", f"{PREFIX}JOB_ROOTS"}
    for variable in sorted(environ):
        if not variable.upper().startswith(PREFIX) or variable.upper() in OTHER_VARIABLES:
            continue
        head, nested, _ = variable.upper().partition("__")
        if head == f"{PREFIX}PIPELINES":
            raise InputError(f"Pipelines cannot be set by {variable}.", "Write them into clickwise.toml.")
        if head not in valid or (nested and head not in tables):
            raise InputError(
                f"The environment variable {variable} is not a setting.", _nearest(head, valid | OTHER_VARIABLES)
            )


def _nearest(key: str, valid: set[str]) -> str:
    close = difflib.get_close_matches(key, sorted(valid), n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Valid are: {', '.join(sorted(valid))}."


def _explained(error: ValidationError, given: Mapping[str, Any], path: Path | None) -> InputError:
    """The first problem of a validation error, with the place that the value came from."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = str(first["loc"][0])
    variable = f"{PREFIX}{key.upper()}"
    if key in given:
        where = "a flag"
    elif any(name.upper().partition("__")[0] == variable for name in os.environ):
        where = f"the environment, {variable}"
    else:
        where = str(path)
    dotted = ".".join(str(part) for part in first["loc"] if part != "[key]")
    return InputError(
        f"The setting `{dotted}` (from {where}) is not usable: {fault_reason(first)}.", "Change its value."
    )
