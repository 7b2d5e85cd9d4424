"""``tierqueue actions``: what operators did, as the ledger wrote it down."""

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.output.action_words import for_scripts, in_words
from tierqueue.operations.cli.output.printing import (
    Column,
    emit,
    json_option,
    moment,
    table,
)


@click.command(epilog="Example: tierqueue actions --limit 5")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def actions(limit: int, as_json: bool) -> None:
    """What operators did, the newest first: replays, discards, pauses, settings.

    Changes of ceilings stand in `tierqueue ceilings history`.
    """
    from tierqueue.ledger import audit_log as log

    with open_ledger() as ledger, ledger.read() as connection:
        rows = log.newest(connection, limit)
    if as_json:
        emit(
            [
                {
                    "id": row.id,
                    "at_epoch_us": row.at,
                    "by": row.by,
                    "what": row.what,
                    "detail": for_scripts(row.detail),
                }
                for row in rows
            ]
        )
        return
    table(
        ["at", "by", "what", Column("to what", rank=1, long=True)],
        [(moment(row.at), row.by, row.what, in_words(row.detail)) for row in rows],
    )
