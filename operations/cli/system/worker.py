"""``tierqueue worker``: each process that does work, started the same way everywhere.

It becomes Celery's own worker by ``exec``: signals, exit status and process id are that worker's,
and whatever is secret stays in the environment.
"""

import os
import re
import sys

import click

from tierqueue.operations.cli.input.names import one_of
from tierqueue.tasks.broker.names import CALLS, ROUTING, queue_of


def celery_words(
    kind: str, *, calls: int | None = None, app: str | None = None, name: str | None = None
) -> list[str]:
    """The arguments of Celery's program for a process of this ``kind``.

    ``app``: the module that builds it, by default the product's own; ``name``: the process's in
    Flower, by default its kind.
    """
    return [
        *("-A", app or f"tierqueue.workers.{kind}", "worker"),
        *("-c", str(calls or CALLS[kind]), "-Q", queue_of(kind), "-n", f"{name or kind}@%h"),
        *("-E", "-l", "INFO", "--without-gossip", "--without-mingle"),
    ]


def _node_name(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise click.BadParameter("is up to 64 letters, digits, '.', '_' and '-'")
    return name


@click.command(epilog="Example: tierqueue worker frontier -c 12")
@click.argument("kind", type=one_of(list(CALLS)))
@click.option(
    "-c",
    "--concurrency",
    "calls",
    type=click.IntRange(1, 10_000),
    help=f"The most calls at once in this process; for {ROUTING} the messages read at once."
    f" Without it: {', '.join(f'{kind} {calls}' for kind, calls in CALLS.items())}.",
)
@click.option(
    "-n",
    "--name",
    callback=_node_name,
    help="The process's name in Flower, where several of a kind run on one machine; without it its"
    " kind.",
)
def worker(kind: str, calls: int | None, name: str | None) -> None:
    """Start one process in the foreground: a tier's worker, or the routing stage.

    SIGTERM lets it finish what runs. Over all workers of a tier, `tierqueue concurrency set` and
    `in_flight` of a deployment bound the calls as well.
    """
    words = [sys.executable, "-m", "celery", *celery_words(kind, calls=calls, name=name)]
    os.execv(sys.executable, words)  # noqa: S606 - words of our own, and no shell
