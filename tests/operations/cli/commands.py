"""Every command there is, as the parser knows it."""

from collections.abc import Iterator

import click

from tierqueue.operations.cli import root


def commands(
    group: click.Group = root, before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The words of each command that is no group, and the command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command
