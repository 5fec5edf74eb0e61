"""Commands of a form that Typer does not have: options in groups in plain help, a command with others under it."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Options that may stand without a value, and which they have then.
_ALONE = {"--abbreviations": "0.7"}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")


def _with_values(args: list[str]) -> list[str]:
    """The arguments with a value for each option of `_ALONE` that is not followed by a number."""
    found = []
    for place, argument in enumerate(args):
        alone = argument in _ALONE and not any(map(_NUMBER.fullmatch, args[place + 1 : place + 2]))
        found.append(f"{argument}={_ALONE[argument]}" if alone else argument)
    return found


def _write_panels(command: Any, ctx: typer.Context, formatter: Any) -> None:
    """Arguments, then options by the panel that they name."""
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            usual = "Arguments" if param.param_type_name == "argument" else "Options"
            panels.setdefault(getattr(param, "rich_help_panel", None) or usual, []).append(record)
    for name, records in panels.items():
        if records:
            with formatter.section(name):
                formatter.write_dl(records)


class Command(TyperCommand):
    """A command whose help shows its options by panel, in plain text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        return super().parse_args(ctx, _with_values(args))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options into the help."""
        _write_panels(self, ctx, formatter)


class CommandWithOthers(TyperGroup):
    """A command of its own, unless its first argument is the name of one that is under it.

    It has one positional argument, with a default. Whose value is such a name can be given with `./` before it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, of this command or of the one that they name."""
        if args and args[0] in self.commands:
            return super().parse_args(ctx, ["", *args])  # the empty one is this command's own, which is not used
        ctx.allow_interspersed_args, ctx.allow_extra_args = True, False
        return super().parse_args(ctx, _with_values(args))

    def get_params(self, ctx: Any) -> list[Any]:
        """Its arguments and options; to one that is under it, whose usage shows them, without the arguments."""
        found = super().get_params(ctx)
        return found if ctx.command is self else [param for param in found if param.param_type_name != "argument"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options and the commands into the help."""
        _write_panels(self, ctx, formatter)
        self.format_commands(ctx, formatter)
