"""``tierqueue erase``: payloads and answers of items go everywhere, receipts and books stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import item_named
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.output.printing import echo, emit, json_option
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.session import Ledger

_PAGE = 1000

_BROKER = (
    "the append-only file and the snapshots of the broker until it rewrites them (BGREWRITEAOF,"
    " BGSAVE), and in its backups"
)
_KEPT = {
    "sqlite": "the ledger's file: it is large, or was being read. Stop the workers, then run VACUUM"
    " and PRAGMA wal_checkpoint(TRUNCATE) on it",
    "postgresql": "dead rows of PostgreSQL until VACUUM FULL items, attempts, promises,"
    " raw_messages (which locks them), and in its write-ahead log, replicas and backups for as long"
    " as you keep them",
}
"""Where erased text may stand beyond the ledger's tables."""


@click.command(epilog="Example: tierqueue erase --metadata customer=4711 --yes")
@click.option(
    "--item", "item_ids", multiple=True, metavar="ID", help="This item; more than one may be named."
)
@click.option("--metadata", metavar="KEY=VALUE", help="Every item whose metadata say so.")
@click.option("--yes", is_flag=True, help="Do it; without it only say what would be done.")
@click.option(
    "--patience",
    "patience_seconds",
    default=60.0,
    show_default=True,
    help="Seconds for running items.",
)
@json_option
def erase(
    item_ids: tuple[str, ...],
    metadata: str | None,
    yes: bool,
    patience_seconds: float,
    as_json: bool,
) -> None:
    """Erase the payloads and answers of items: from the ledger and from the broker's results.

    Items that have not ended are cancelled first. What stays: that there was an item, where it
    ran, what it cost. A SQLite ledger is written anew, about a second for 100 MB in which workers
    wait; what PostgreSQL and the broker's files keep is said. An answer that was handed on is an
    argument of the item that got it: erase this too. Exit 1 where a running item did not end in
    time: then erase again.
    """
    from tierqueue.operations import erase as erasure
    from tierqueue.tasks.app import app

    if bool(item_ids) == (metadata is not None):
        raise click.UsageError("erase either items by --item or all that --metadata chooses")
    with open_ledger() as ledger:
        ids = _selection(ledger, item_ids, metadata)
        # The key alone is recorded: its value may be what is to be forgotten.
        why = "by id" if metadata is None else f"by metadata {metadata.partition('=')[0]}"
        done = erasure.ErasureResult(0, [], rewritten=False)
        if yes:
            done = erasure.erase(
                ledger, app, ids, by=operator(), why=why, patience_seconds=patience_seconds
            )
    left = done.running
    kept = [_BROKER, *([] if done.rewritten else [_KEPT[ledger.dialect]])] if done.items else []
    if as_json:
        told = {"matching": len(ids), "erased": done.items, "running": left, "dry_run": not yes}
        emit({**told, "may_be_left_in": kept})
    elif yes:
        echo(f"erased {count(done.items, 'item')}" + (f"; {len(left)} still run" if left else ""))
        for place in kept:
            echo(f"may be left in {place}")
    else:
        echo(f"would erase {count(len(ids), 'item')}; say --yes to do it")
    if left:
        raise click.exceptions.Exit(1)


def _selection(ledger: Ledger, item_ids: tuple[str, ...], metadata: str | None) -> list[str]:
    from tierqueue.ledger.operations import erasure

    if metadata is None:
        with ledger.read() as connection:
            return sorted({item_named(connection, text) for text in item_ids})
    key, separator, value = metadata.partition("=")
    if not separator or not key:
        raise InvalidItem(f"{metadata!r} is not metadata: write it like customer=4711")
    found: list[str] = []
    last: str | None = ""
    while last is not None:
        with ledger.read() as connection:
            wanted, last = erasure.with_metadata(connection, key, value, last, _PAGE)
        found += wanted
    return found
