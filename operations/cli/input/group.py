"""A group of commands whose help says each of them in a whole sentence, with its example."""

import click

_WHOLE = 1000
"""More characters than a first sentence has."""


class CommandGroup(click.Group):
    """As click's group; the signatures are click's."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, one) for name, one in found if one is not None and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in shown])
        with formatter.section("Examples"):
            for _, one in shown:
                formatter.write_text((one.epilog or "").removeprefix("Example: "))
