"""The mark of what is simulated, wherever a command shows money or answers of it."""

from __future__ import annotations

from collections.abc import Collection

from tierqueue.operations.cli.output.printing import echo, on_terminal, paragraph

MARK = " (simulated)"
"""Behind a deployment, an amount or an answer that is made up."""

AMONG = " (with simulated money)"
"""Behind a sum some of which may be."""


def marked(text: str, simulated: bool) -> str:
    """``text``, with the mark where it is simulated; what says nothing gets none."""
    return text + MARK if simulated and text else text


def say_among(deployments: Collection[str]) -> None:
    """Below sums of money: that simulated money is among it, and whose; nothing where none is.

    In a pipe it stands on stderr: what is read there are the rows.
    """
    if deployments:
        whose = ", ".join(sorted(deployments))
        said = f"simulated money is among it: nobody is paid for calls of {whose}"
        if on_terminal():
            paragraph("", said)
        else:
            echo(said, err=True)
