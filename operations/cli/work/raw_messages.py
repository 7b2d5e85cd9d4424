"""``tierqueue raw-messages``: what lay on our queues and could not be read, with its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import SHOWN, only
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    table,
)
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.operations.raw_messages import RawMessage
    from tierqueue.ledger.session import Transaction


@click.group(cls=CommandGroup)
def raw_messages() -> None:
    """Messages nobody could read. They were taken off their queue and kept as they came.

    None can be sent again: what sent them has to be corrected, and to send them again itself.
    """


@raw_messages.command(name="list", epilog="Example: tierqueue raw-messages list")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def list_(limit: int, as_json: bool) -> None:
    """List messages nobody could read, the newest first, without what they say."""
    from tierqueue.ledger.operations import raw_messages as kept

    with open_ledger() as ledger, ledger.read() as connection:
        rows = kept.newest(connection, limit)
    if as_json:
        emit([_shown(row) for row in rows])
        return
    table(
        ["id", Column("received", rank=2), "queue", Column("bytes", right=True, rank=3), _WHY],
        [(row.id, moment(row.received_at), row.queue, row.size, row.error) for row in rows],
    )


_WHY = Column("why", rank=1, long=True)


@raw_messages.command(epilog="Example: tierqueue raw-messages show 01a1fb7f")
@click.argument("message_id", metavar="ID")
@click.option("--payload", is_flag=True, help="Its bytes too: what a customer wrote, perhaps.")
@json_option
def show(message_id: str, payload: bool, as_json: bool) -> None:
    """Show one message: where it came from and why it could not be read.

    The beginning of its ID is enough where no other begins so.
    """
    from tierqueue.ledger.operations import raw_messages as kept

    with open_ledger() as ledger, ledger.read() as connection:
        found = _one(connection, message_id)
        shown = _shown(found)
        if payload:
            # As Python writes bytes: nothing of them steers a terminal, and every one is there.
            shown["body"] = repr(kept.body_of(connection, found.id))
    if as_json:
        emit(shown)
        return
    shown["received"] = moment(shown.pop("received_epoch_us"))
    del shown["message"]
    echo(*(f"{name}: {value}" for name, value in shown.items()))


@raw_messages.command(epilog="Example: tierqueue raw-messages discard 01a1fb7f --yes")
@click.argument("message_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do it; without it only say what would be done.")
@json_option
def discard(message_ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Take messages away for good, their bytes with them."""
    from tierqueue.ledger.operations import raw_messages as kept

    with open_ledger() as ledger, ledger.write() as connection:
        ids = sorted({_one(connection, message_id).id for message_id in message_ids})
        if yes:
            kept.discard(connection, ids, operator())
    if as_json:
        done = len(ids) if yes else 0
        emit({"action": "discard", "matching": len(ids), "done": done, "dry_run": not yes})
        return
    said = "discarded" if yes else "would discard"
    echo(f"{said} {count(len(ids), 'message')} nobody could read" + ("" if yes else ": --yes"))


def _one(connection: Transaction, message_id: str) -> RawMessage:
    from tierqueue.ledger.operations import raw_messages as kept

    found = {row.id: row for row in kept.starting(connection, message_id, SHOWN + 1)}
    return found[only("message", message_id, list(found))]


def _shown(row: RawMessage) -> dict[str, Any]:
    return {
        "message": row.id,
        "id": row.id,
        "queue": row.queue,
        "error": row.error,
        "headers": row.headers,
        "received_epoch_us": row.received_at,
        "bytes": row.size,
    }
