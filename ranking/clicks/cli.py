"""`clickwise clicks`: one sub-command per task with a click log, each loaded only when it is asked for.

A sub-command is a function of its own name in a module of COMMANDS; one whose module is not there is left out.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS: dict[str, str] = {
    "convert": "ranking.clicks.log_cli",
    "inspect": "ranking.clicks.log_cli",
    "clean": "ranking.clicks.log_cli",
    "synthetic": "ranking.clicks.baidu_cli",
    "judgements": "ranking.clicks.baidu_cli",
    "fit": "ranking.clicks.models_cli",
    "propensity": "ranking.clicks.propensity_cli",
    "ltr": "ranking.clicks.ltr_cli",
    "interleave": "ranking.clicks.interleaving_cli",
}
"""Sub-command -> the module whose function of that name implements it."""


class Commands(TyperGroup):
    """The sub-commands that are there, turned into real ones when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name, module in COMMANDS.items() if find_spec(module) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        one = typer.Typer(add_completion=False, rich_markup_mode=None)
        one.command(cmd_name)(getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name))
        command = typer.main.get_command(one)
        command.short_help = command.get_short_help_str(1_000)  # the first sentence whole: the formatter wraps it
        return command


app = typer.Typer(cls=Commands, no_args_is_help=True)


@app.callback()
def clicks() -> None:
    """Use your click log: convert it, look at it, clean it, and learn from it."""
