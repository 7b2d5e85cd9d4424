"""The page of every command, from the command tree itself."""

import inspect
from collections.abc import Iterator

import click

from tierqueue.operations.cli import root
from tools.reference import markdown

_INTRODUCTION = """
Every command of `tierqueue`, as its `--help` says it. Exit status: 0 yes, 1 no (a check that
failed,
a job that did not end well), 2 it could not be done. What goes wrong is one line on standard error.
"""


def commands() -> Iterator[tuple[click.Context, click.Command]]:
    """Every command that does something, with the context that knows its whole name."""
    yield from _below(click.Context(root, info_name="tierqueue"))


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for context, command in commands():
        text = inspect.cleandoc(command.help or "").split("\f")[0].replace("\b", "").strip()
        epilog = " ".join((command.epilog or "").split())
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts += [f"## {context.command_path}", markdown.fenced("", usage), text]
        parts += [_options(context, command)]
        parts += [f"Example: `{epilog.removeprefix('Example: ')}`" if epilog else ""]
    return markdown.page("Commands", *parts)


def options(command: click.Command) -> list[click.Option]:
    """What a command can be told beside its arguments."""
    return [option for option in command.params if isinstance(option, click.Option)]


def _options(context: click.Context, command: click.Command) -> str:
    rows = [
        (
            f"`{', '.join([*option.opts, *option.secondary_opts])}`",
            "" if option.is_flag else _value(option, context),
            "needed" if option.required else f"`{option.default}`" if option.show_default else "",
            option.help or "",
        )
        for option in options(command)
    ]
    return markdown.table(("option", "value", "default", "what it does"), rows) if rows else ""


def _value(option: click.Option, context: click.Context) -> str:
    match option.type:
        case click.Choice(choices=choices) if option.metavar is None:
            return ", ".join(f"`{choice}`" for choice in choices)
        case click.IntRange(min=low, max=high) if low is not None and high is not None:
            return f"{low:,} to {high:,}"
    return f"`{option.make_metavar(context)}`"


def _below(context: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    command = context.command
    if not isinstance(command, click.Group):
        yield context, command
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and not found.hidden:
            yield from _below(click.Context(found, info_name=name, parent=context))
