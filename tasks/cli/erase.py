"""``tierqueue erase``: payloads and answers of items go everywhere, receipts and books stay."""

import click

from tierqueue.ledger import erasure
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.cli.concurrency import operator
from tierqueue.tasks.cli.named import item_named
from tierqueue.tasks.cli.opened import opened
from tierqueue.tasks.cli.printing import emit, json_option, say

_PAGE = 1000


@click.command(epilog="Example: tierqueue erase --metadata customer=4711 --yes")
@click.option("--item", "item_ids", multiple=True, metavar="ID")
@click.option("--metadata", metavar="KEY=VALUE", help="Every item whose metadata say so.")
@click.option("--yes", is_flag=True, help="Do it; without it only say what would be done.")
@click.option("--patience", default=60.0, show_default=True, help="Seconds for running items.")
@json_option
def erase(
    item_ids: tuple[str, ...], metadata: str | None, yes: bool, patience: float, as_json: bool
) -> None:
    """Erase the payloads and answers of items: from the ledger and from the broker's results.

    Items that have not ended are cancelled first. What stays: that there was an item, where it
    ran, what it cost. Exit 1 where a running item did not end in time: then erase again.
    """
    from tierqueue.tasks import forget
    from tierqueue.tasks.app import app

    if bool(item_ids) == (metadata is not None):
        raise click.UsageError("erase either items by --item or all that --metadata chooses")
    with opened() as ledger:
        ids = _meant(ledger, item_ids, metadata)
        # The key alone is recorded: its value may be what is to be forgotten.
        why = "by id" if metadata is None else f"by metadata {metadata.partition('=')[0]}"
        erased, left = 0, list[str]()
        if yes:
            erased, left = forget.erase(app, ids, by=operator(), why=why, patience=patience)
    if as_json:
        emit({"matching": len(ids), "erased": erased, "running": left, "dry_run": not yes})
    elif yes:
        say(f"erased {erased} items" + (f"; {len(left)} still run" if left else ""))
    else:
        say(f"would erase {len(ids)} items; say --yes to do it")
    if left:
        raise click.exceptions.Exit(1)


def _meant(ledger: Ledger, item_ids: tuple[str, ...], metadata: str | None) -> list[str]:
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
